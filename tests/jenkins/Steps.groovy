/** The steps and globals that a Jenkinsfile sees. Its base class: what is not here, it cannot call. */
abstract class Steps extends Script {
    // set by methods: what is set on a script as a property goes into its binding
    private Build build
    private Shell shell
    private Closure declared
    private final List<Result> warnings = []

    void belongTo(Build build) { this.build = build }

    void runOn(Shell shell) { this.shell = shell }

    Closure declaration() { declared }

    /** What catchError and unstable made of the stage since the last call; the worst, null where nothing. */
    Result takeWarnings() {
        Result worst = warnings.max()
        warnings.clear()
        return worst
    }

    void pipeline(Closure body) { declared = body }

    Map getParams() { Collections.unmodifiableMap(build.given.parameters) }

    CurrentBuild getCurrentBuild() { new CurrentBuild(build) }

    Environment getEnv() { new Environment(build) }

    void echo(String message) { build.log(message) }

    void error(String message) { throw new StepFailed(message) }

    void unstable(String message) {
        build.log('WARNING: ' + message)
        build.worsen(Result.UNSTABLE)
        warnings << Result.UNSTABLE
    }

    def script(Closure body) { body() }

    def sh(String script) { sh([script: script]) }

    def sh(Map given) {
        build.log('[Pipeline] sh')
        def (int code, String output) = shell.run(given.script, given.returnStdout ?: false)
        if (given.returnStatus) return code
        if (code != 0) throw new StepFailed("script returned exit code $code")
        return given.returnStdout ? output : null
    }

    void catchError(Map given, Closure body) {
        try {
            body()
        } catch (Interrupted stopped) {
            if (given.catchInterruptions == false) throw stopped
            caught(given, stopped)
        } catch (StepFailed failed) {
            caught(given, failed)
        }
    }

    private void caught(Map given, Exception error) {
        build.log('ERROR: ' + error.message)
        Result worse = Result.valueOf(given.buildResult ?: 'FAILURE')
        if (worse != Result.SUCCESS) build.worsen(worse)
        warnings << Result.valueOf(given.stageResult ?: 'SUCCESS')
    }

    void junit(Map given) {
        List suites = files(given.testResults).collect { new XmlParser().parse(it) }
        if (!suites && !given.allowEmptyResults) throw new StepFailed('No test report files were found')
        List cases = suites.collectMany { it.'**'.findAll { one -> one instanceof Node && one.name() == 'testcase' } }
        int failed = cases.count { it.failure || it.error }
        build.published.junit = [total: cases.size(), failed: failed]
        if (failed && !given.skipMarkingBuildUnstable) build.worsen(Result.UNSTABLE)
        build.save()
    }

    void archiveArtifacts(Map given) {
        List found = files(given.artifacts)
        if (!found && !given.allowEmptyArchive) throw new StepFailed('No artifacts found')
        File archive = new File(build.folder, 'archive')
        File workspace = shell.workspace
        build.published.archived = found.collect { workspace.toPath().relativize(it.toPath()).toString() }.sort()
        found.each {
            File kept = archive.toPath().resolve(workspace.toPath().relativize(it.toPath())).toFile()
            kept.parentFile.mkdirs()
            kept.bytes = it.bytes
        }
        build.save()
    }

    void publishHTML(Map given) {
        Map target = given.target
        File page = new File(shell.workspace, "$target.reportDir/$target.reportFiles")
        if (!page.exists() && !target.allowMissing) throw new StepFailed('Specified HTML report does not exist')
        String file = "$target.reportDir/$target.reportFiles"
        if (page.exists()) build.published.html = [name: target.reportName, file: file]
        build.save()
    }

    void cleanWs(Map given = [:]) {
        build.log('[WS-CLEANUP] Deleting project workspace...')
        shell.workspace.deleteDir()
    }

    /** Files of the workspace by a pattern of Ant's: `folder/file` or `folder/**`. */
    private List<File> files(String pattern) {
        String folder = pattern - ~'/?\\*\\*$'
        File at = new File(shell.workspace, folder)
        if (folder == pattern) return at.file ? [at] : []
        List found = []
        if (at.directory) at.eachFileRecurse { if (it.file) found << it }
        return found.sort()
    }
}
