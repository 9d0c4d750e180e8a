/** A block of Declarative: the words in it with what they were given, in order. */
class Section {
    final List<Map> words = []

    static Section of(Closure body) {
        Section section = new Section()
        Closure copy = body.clone()
        copy.delegate = section
        copy.resolveStrategy = Closure.DELEGATE_ONLY
        copy.call()
        return section
    }

    def methodMissing(String name, given) {
        List all = given as List
        Map word = [name: name, given: all.findAll { !(it instanceof Closure) }, body: all.find { it instanceof Closure }]
        words << word
        return word
    }

    Map word(String name) { words.find { it.name == name } }

    Section section(String name) { word(name)?.body ? of(word(name).body) : null }
}
