import groovy.json.JsonOutput

/** Worse results are later: a build's result never becomes better (hudson.model.Result). */
enum Result { SUCCESS, UNSTABLE, FAILURE, NOT_BUILT, ABORTED }

/** hudson.AbortException: a step failed. */
class StepFailed extends Exception {
    StepFailed(String message) { super(message) }

    Result getResult() { Result.FAILURE }
}

/** FlowInterruptedException: a person or a time-out stopped the build. */
class Interrupted extends Exception {
    Interrupted(String message) { super(message) }

    Result getResult() { Result.ABORTED }
}

/** FlowInterruptedException with RemovedNodeCause. */
class AgentLost extends Interrupted {
    AgentLost() { super('the agent was lost') }
}

/** One build: what it was given, what is shown of it, its console. Each change is kept in `state.json`. */
class Build {
    final Map given
    final File folder
    private final OutputStream console
    Result result
    String displayName
    String description
    List<Map> stages = []
    Map published = [:]
    Map<String, String> environment = [:]
    boolean timestamps = false
    long deadline = Long.MAX_VALUE

    Build(Map given) {
        this.given = given
        folder = new File(given.folder)
        console = new FileOutputStream(new File(folder, 'console.log'))
        displayName = '#' + given.number
    }

    Result getCurrentResult() { result ?: Result.SUCCESS }

    void worsen(Result to) {
        if (result == null || to > result) result = to
        save()
    }

    Map stage(String name) {
        Map entered = [name: name, result: 'RUNNING']
        stages << entered
        save()
        return entered
    }

    /** What someone asks of the build from outside, by a file of that name: `abort`, `lose`. Asked once, answered once. */
    boolean asked(String what) {
        File file = new File(folder, what)
        return file.exists() && file.delete()
    }

    void save(boolean building = true) {
        File part = new File(folder, 'state.json.part')
        part.text = JsonOutput.toJson([
            building: building, result: building ? null : currentResult.name(), displayName: displayName,
            description: description, stages: stages, published: published,
        ])
        part.renameTo(new File(folder, 'state.json'))
    }

    synchronized void log(String line) {
        String now = new Date().format("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", TimeZone.getTimeZone('UTC'))
        String at = timestamps ? "[$now] " : ''
        console.write((at + line + '\n').getBytes('UTF-8'))
    }
}

/** `currentBuild` as a script sees it. */
class CurrentBuild {
    private final Build build

    CurrentBuild(Build build) { this.build = build }

    int getNumber() { build.given.number }

    String getResult() { build.result?.name() }

    String getCurrentResult() { build.currentResult.name() }

    void setResult(String result) { build.worsen(Result.valueOf(result)) }

    String getDisplayName() { build.displayName }

    void setDisplayName(String name) { build.displayName = name; build.save() }

    String getDescription() { build.description }

    void setDescription(String text) { build.description = text; build.save() }
}

/** `env` as a script sees it: what it sets, over what the agent has. */
class Environment {
    private final Build build

    Environment(Build build) { this.build = build }

    Object get(String name) { build.environment[name] }

    void set(String name, Object value) { build.environment[name] = value.toString() }
}
