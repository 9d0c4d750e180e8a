import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.ast.ClassNode
import org.codehaus.groovy.ast.builder.AstBuilder
import org.codehaus.groovy.control.CompilePhase
import org.codehaus.groovy.control.CompilerConfiguration

// Runs a Jenkinsfile without Jenkins: `harness.groovy BUILD.json...`, one build after the other; their keys are in
// tests/support/jenkinsfile.py. What this harness does not know in a file is refused before anything of it runs.
args.each { config ->
    Map given = new JsonSlurper().parse(new File(config), 'UTF-8')
    String text = new File(given.jenkinsfile).getText('UTF-8')
    List nodes = new AstBuilder().buildFromString(CompilePhase.CONVERSION, false, text)
    ClassNode own = nodes.find { it instanceof ClassNode }
    Grammar grammar = new Grammar(nodes, own.methods.findAll { !(it.name in ['main', 'run']) })
    if (grammar.faults) {
        new File(given.folder, 'refused.json').text = JsonOutput.toJson(grammar.faults)
        return
    }
    Build build = new Build(given)
    build.save()
    build.log('Started by user ' + given.user)
    CompilerConfiguration configuration = new CompilerConfiguration(scriptBaseClass: 'Steps')
    Steps script = new GroovyShell(this.class.classLoader, new Binding(), configuration).parse(text, 'Jenkinsfile')
    script.belongTo(build)
    script.run()
    new Declarative(script, build).run()
    build.log('[Pipeline] End of Pipeline')
    build.log('Finished: ' + build.currentResult)
    build.save(false)
}
System.exit(0)
