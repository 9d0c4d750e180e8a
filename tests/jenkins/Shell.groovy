import java.security.MessageDigest

/** The `sh` step as the durable-task plugin does it: `sh -xe` on a file, in the workspace, marked by a cookie. */
class Shell {
    static final long GRACE_MS = 60_000
    final Build build
    final File workspace
    final String cookie

    Shell(Build build, File workspace) {
        this.build = build
        this.workspace = workspace
        cookie = 'durable-' + MessageDigest.getInstance('MD5').digest(workspace.path.bytes).encodeHex()
    }

    /** Exit code and, where it is wanted, standard output. Raises Interrupted when the build is stopped meanwhile. */
    List run(String script, boolean wantOutput) {
        workspace.mkdirs()
        File file = new File(workspace.parentFile, workspace.name + '@tmp/script.sh')
        file.parentFile.mkdirs()
        file.text = script.startsWith('#!') ? script : '#!/bin/sh -xe\n' + script
        ProcessBuilder builder = new ProcessBuilder('sh', '-xe', file.path).directory(workspace)
        builder.environment().clear()
        builder.environment().putAll(build.environment)
        builder.environment().put('JENKINS_SERVER_COOKIE', cookie)
        Process process = builder.start()
        process.outputStream.close()
        StringBuilder output = new StringBuilder()
        List readers = [reader(process.inputStream, wantOutput ? { output << it << '\n' } : build.&log),
                        reader(process.errorStream, build.&log)]
        String stopped = await(process)
        readers*.join(wantOutput || stopped ? 5000 : 1000)
        if (stopped == 'lose') throw new AgentLost()
        if (stopped) throw new Interrupted(stopped)
        return [process.exitValue(), output.toString()]
    }

    private static Thread reader(InputStream stream, Closure take) {
        return Thread.startDaemon { stream.newReader('UTF-8').eachLine { line -> take(line) } }
    }

    private String await(Process process) {
        while (process.alive) {
            if (build.asked('lose')) {
                signal('KILL')
                process.waitFor()
                return 'lose'
            }
            if (build.asked('abort') || System.currentTimeMillis() > build.deadline) {
                build.deadline = Long.MAX_VALUE
                stop()
                process.waitFor()
                return 'aborted'
            }
            Thread.sleep(20)
        }
        return null
    }

    /** Asks every process that carries the cookie to end, servers that an earlier `sh` left too; then ends them. */
    void stop() {
        long deadline = System.currentTimeMillis() + GRACE_MS
        signal('TERM')
        while (marked() && System.currentTimeMillis() < deadline) Thread.sleep(50)
        signal('KILL')
    }

    private void signal(String name) {
        marked().each { ['kill', '-' + name, it].execute().waitFor() }
    }

    private List<String> marked() {
        byte[] wanted = ('JENKINS_SERVER_COOKIE=' + cookie).bytes
        return new File('/proc').list().findAll { it.isInteger() && carries(it, new String(wanted, 'ISO-8859-1')) }
    }

    private static boolean carries(String pid, String wanted) {
        try {
            return (wanted in new String(new File("/proc/$pid/environ").bytes, 'ISO-8859-1').split('\0'))
        } catch (IOException ignored) {
            return false
        }
    }
}
