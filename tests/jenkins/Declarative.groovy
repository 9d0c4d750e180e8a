/** Runs a pipeline as the ModelInterpreter of pipeline-model-definition does: its order of stages and conditions. */
class Declarative {
    static final List CONDITIONS = ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup']
    final Steps script
    final Build build
    final Section root

    private Shell shell

    Declarative(Steps script, Build build) {
        this.script = script
        this.build = build
        root = Section.of(script.declaration())
    }

    void run() {
        Section options = root.section('options')
        Map timeout = options?.word('timeout')?.given?.first()
        if (timeout) build.deadline = System.currentTimeMillis() + timeout.time * (build.given.hour_ms ?: 3_600_000)
        build.timestamps = options?.word('timestamps') != null
        Section node = root.section('agent').section('node')
        int times = node.word('retries')?.given?.first() ?: 1
        Exception error = null
        for (int time = 1; time <= times; time++) {
            error = onAgent(build.given.agents[Math.min(time, build.given.agents.size()) - 1])
            if (!(error instanceof AgentLost) || time == times) break
            build.log('Agent was lost; retrying on another')
        }
        build.timestamps = false
        if (error) build.worsen(error.result)
        if (error) build.log('ERROR: ' + error.message)
    }

    /** All stages and the pipeline's post conditions, in a workspace on one agent; the first error. */
    private Exception onAgent(Map agent) {
        build.environment = [:] + agent.environment + build.given.parameters
        build.environment += [BUILD_NUMBER: build.given.number.toString(), JOB_NAME: build.given.job,
                              WORKSPACE: agent.workspace, BUILD_URL: build.given.url]
        shell = new Shell(build, new File(agent.workspace))
        script.runOn(shell)
        build.log('Running on ' + agent.name + ' in ' + agent.workspace)
        try {
            Exception error = stages(root.section('stages'), null)
            if (error instanceof AgentLost) return error
            return post(root.section('post'), error, null) ?: error
        } finally {
            shell.stop()
        }
    }

    private Exception stages(Section section, Exception before) {
        Exception first = before
        section.words.each { word ->
            Map shown = build.stage(word.given.first())
            build.log("[Pipeline] { (${shown.name})")
            if (first) {
                build.log("Stage \"${shown.name}\" skipped due to earlier failure(s)")
                shown.result = 'SKIPPED'
                skipInside(Section.of(word.body))
            } else {
                first = stage(Section.of(word.body), shown)
            }
            build.save()
        }
        return first
    }

    private void skipInside(Section stage) {
        stage.section('stages')?.words?.each {
            build.stage(it.given.first()).result = 'SKIPPED'
            skipInside(Section.of(it.body))
        }
    }

    private Exception stage(Section stage, Map shown) {
        Exception error = null
        script.takeWarnings()
        try {
            if (stage.word('when') && !carryOut(stage.section('when').word('expression').body)) {
                build.log("Stage \"${shown.name}\" skipped due to when conditional")
                shown.result = 'SKIPPED'
                return null
            }
            if (stage.word('steps')) carryOut(stage.word('steps').body)
        } catch (StepFailed | Interrupted caught) {
            error = failed(caught)
        }
        Result warned = script.takeWarnings()
        if (stage.word('stages')) error = stages(stage.section('stages'), null)
        if (!(error instanceof AgentLost)) error = post(stage.section('post'), error, shown) ?: error
        shown.result = (error ? error.result : warned ?: Result.SUCCESS).name()
        return error
    }

    /** Steps see the script, not the section that holds them. */
    private carryOut(Closure body) { body.rehydrate(script, script, script).call() }

    private Exception failed(Exception error) {
        build.log('ERROR: ' + error.message)
        build.worsen(error.result)
        return error
    }

    /** Post conditions in Declarative's order; each sees what the ones before it made of the result. The first error. */
    private Exception post(Section section, Exception before, Map shown) {
        Exception first = before
        if (section == null) return first
        CONDITIONS.findAll { section.word(it) }.each { condition ->
            Result combined = [build.currentResult, first ? first.result : Result.SUCCESS].max()
            if (!meets(condition, combined)) return
            try {
                carryOut(section.word(condition).body)
            } catch (StepFailed | Interrupted caught) {
                build.log("Error when executing $condition post condition:")
                failed(caught)
                first = first ?: caught
            }
        }
        return first
    }

    private static boolean meets(String condition, Result result) {
        switch (condition) {
            case 'always': case 'cleanup': return true
            case 'unsuccessful': return result != Result.SUCCESS
            default: return result.name() == condition.toUpperCase()
        }
    }
}
