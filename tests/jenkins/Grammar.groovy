import org.codehaus.groovy.ast.ASTNode
import org.codehaus.groovy.ast.CodeVisitorSupport
import org.codehaus.groovy.ast.MethodNode
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*

/**
 * What a Jenkinsfile may be made of here, checked on its syntax tree as Declarative does: what never runs counts too.
 *
 * Narrower than Jenkins' own grammar on purpose: a word that is not in these tables has no meaning in this harness.
 * What stands in `sh` must be a constant, so that no parameter can be part of a program.
 */
class Grammar {
    static final Map SECTIONS = [
        pipeline: ['agent', 'options', 'parameters', 'stages', 'post'],
        node: ['label', 'retries'],
        options: ['timeout', 'timestamps', 'ansiColor', 'skipDefaultCheckout', 'disableConcurrentBuilds',
                  'disableRestartFromStage', 'buildDiscarder'],
        stage: ['when', 'steps', 'stages', 'post'],
        post: ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup'],
    ]
    static final Map OPTIONS = [
        timeout: ['time', 'unit'], logRotator: ['numToKeepStr', 'artifactNumToKeepStr'],
        string: ['name', 'defaultValue', 'description', 'trim'],
    ]
    static final Map STEPS = [
        echo: [], error: [], unstable: [], script: [],
        sh: ['script', 'returnStatus', 'returnStdout', 'label'],
        catchError: ['buildResult', 'stageResult', 'message', 'catchInterruptions'],
        junit: ['testResults', 'allowEmptyResults', 'skipMarkingBuildUnstable', 'skipPublishingChecks'],
        archiveArtifacts: ['artifacts', 'allowEmptyArchive', 'fingerprint'],
        publishHTML: ['target'],
        cleanWs: ['notFailBuild', 'deleteDirs'],
    ]
    static final List HTML = ['reportName', 'reportDir', 'reportFiles', 'allowMissing', 'keepAll', 'alwaysLinkToLastBuild']
    // what the sandbox of Jenkins is known to let a script call and read (script-security's list of approved signatures)
    static final List METHODS = ['split', 'toString', 'trim']
    static final List PROPERTIES = ['displayName', 'description', 'result', 'currentResult', 'number', 'length']

    final List<String> faults = []
    final List<String> functions

    Grammar(List<ASTNode> nodes, List<MethodNode> methods) {
        functions = methods*.name
        BlockStatement script = nodes.find { it instanceof BlockStatement }
        List calls = script.statements
        if (calls.size() != 1 || nameOf(calls[0]) != 'pipeline') {
            faults << 'the file is not one pipeline { } and functions'
            return
        }
        pipeline(bodyOf(calls[0]))
        methods.each { free(it.code) }
    }

    void pipeline(List body) {
        members('pipeline', body)
        List names = body.collect { nameOf(it) }
        (['agent', 'stages'] - names).each { faults << "pipeline has no $it".toString() }
        body.each {
            List inside = bodyOf(it)
            switch (nameOf(it)) {
                case 'agent':
                    if (inside.size() != 1 || nameOf(inside[0]) != 'node') fault(it, 'agent is not node { }')
                    else members('node', bodyOf(inside[0]))
                    break
                case 'options': members('options', inside); inside.each { option -> settings(option) }; break
                case 'parameters': inside.each { one -> parameter(one) }; break
                case 'stages': stages(inside, []); break
                case 'post': post(inside); break
            }
        }
    }

    void members(String section, List body) {
        List names = body.collect { nameOf(it) }
        body.each {
            if (!(nameOf(it) in SECTIONS[section])) fault(it, "$section knows no ${nameOf(it) ?: 'such statement'}")
        }
        names.findAll { it && names.count(it) > 1 }.unique().each { faults << "$section has more than one $it".toString() }
    }

    void parameter(Statement one) {
        if (nameOf(one) != 'string') fault(one, "parameters knows no ${nameOf(one)}")
        settings(one)
    }

    void settings(Statement option) {
        (namedOf(option) - (OPTIONS[nameOf(option)] ?: [])).each { fault(option, "${nameOf(option)} knows no $it") }
        option.visit(constants())
    }

    void stages(List body, List<String> seen) {
        body.each {
            List given = argumentsOf(it)
            if (nameOf(it) != 'stage' || given.size() != 2 || !(given[0] instanceof ConstantExpression)) {
                fault(it, 'stages holds something that is no stage(NAME) { }')
                return
            }
            if (given[0].text in seen) fault(it, "two stages are named ${given[0].text}")
            seen << given[0].text
            stage(it, bodyOf(it), seen)
        }
    }

    void stage(Statement at, List body, List<String> seen) {
        members('stage', body)
        List names = body.collect { nameOf(it) }
        if (('steps' in names) == ('stages' in names)) fault(at, 'a stage has either steps or stages')
        body.each {
            List inside = bodyOf(it)
            if (nameOf(it) == 'steps') steps(inside)
            if (nameOf(it) == 'stages') stages(inside, seen)
            if (nameOf(it) == 'post') post(inside)
            if (nameOf(it) == 'when') {
                if (inside.collect { one -> nameOf(one) } != ['expression']) fault(it, 'when is not one expression { }')
                inside.each { one -> free(one) }
            }
        }
    }

    void post(List body) {
        members('post', body)
        body.each { steps(bodyOf(it)) }
    }

    /** Declarative takes steps alone: no assignment, no `if`, no declaration outside of `script`. */
    void steps(List body) {
        if (!body) faults << 'a block of steps is empty'
        body.each {
            String name = nameOf(it)
            if (!STEPS.containsKey(name)) fault(it, "there is no step ${name ?: 'in this statement'}")
            else free(it)
        }
    }

    /** Code in `script` and in functions: known steps, functions of this file, and what the sandbox lets pass. */
    void free(ASTNode node) {
        node.visit(new CodeVisitorSupport() {
            void visitMethodCallExpression(MethodCallExpression call) {
                checkCall(call)
                super.visitMethodCallExpression(call)
            }

            void visitPropertyExpression(PropertyExpression property) {
                String of = property.objectExpression.text
                if (!(of in ['env', 'params']) && !(property.propertyAsString in PROPERTIES)) {
                    fault(property, "there is no $of.${property.propertyAsString}")
                }
                super.visitPropertyExpression(property)
            }

            void visitGStringExpression(GStringExpression text) { fault(text, 'a text that Groovy fills in') }

            void visitConstructorCallExpression(ConstructorCallExpression made) { fault(made, 'new') }

            void visitStaticMethodCallExpression(StaticMethodCallExpression call) { fault(call, call.method) }
        })
    }

    void checkCall(MethodCallExpression call) {
        String name = call.methodAsString
        if (!call.implicitThis) {
            if (!(name in METHODS)) fault(call, "the sandbox is not known to allow .$name()")
            return
        }
        if (name in functions || name == 'expression') return
        if (!STEPS.containsKey(name)) {
            fault(call, "there is no step $name")
            return
        }
        Map given = namedIn(call)
        (given.keySet() - STEPS[name]).each { fault(call, "$name knows no $it") }
        if (name == 'publishHTML') target(call, given.target)
        if (name == 'sh') {
            Expression script = given.script ?: unnamed(call)[0]
            if (!(script instanceof ConstantExpression)) fault(call, 'sh takes a text in single quotes only')
        }
    }

    void target(MethodCallExpression call, Expression given) {
        if (!(given instanceof MapExpression)) fault(call, 'publishHTML has no target')
        else (given.mapEntryExpressions*.keyExpression*.text - HTML).each { fault(call, "publishHTML knows no $it") }
    }

    private CodeVisitorSupport constants() {
        return new CodeVisitorSupport() {
            void visitGStringExpression(GStringExpression text) { fault(text, 'a text that Groovy fills in') }

            void visitVariableExpression(VariableExpression variable) {
                if (variable.name != 'this') fault(variable, "${variable.name} is no constant")
            }
        }
    }

    private void fault(ASTNode at, Object what) { faults << "line $at.lineNumber: $what".toString() }

    private static MethodCallExpression callOf(statement) {
        def expression = statement instanceof ExpressionStatement ? statement.expression : null
        return expression instanceof MethodCallExpression && expression.implicitThis ? expression : null
    }

    static String nameOf(statement) { callOf(statement)?.methodAsString }

    static List argumentsOf(statement) {
        def given = callOf(statement)?.arguments
        return given instanceof TupleExpression ? given.expressions : []
    }

    static List bodyOf(statement) {
        def closure = argumentsOf(statement).find { it instanceof ClosureExpression }
        return closure ? closure.code.statements : []
    }

    static List<String> namedOf(statement) { callOf(statement) ? namedIn(callOf(statement)).keySet() as List : [] }

    static Map<String, Expression> namedIn(MethodCallExpression call) {
        List maps = given(call).findAll { it instanceof MapExpression }
        return maps*.mapEntryExpressions.flatten().collectEntries { [it.keyExpression.text, it.valueExpression] }
    }

    static List unnamed(MethodCallExpression call) {
        return given(call).findAll { !(it instanceof MapExpression) }
    }

    private static List given(MethodCallExpression call) {
        return call.arguments instanceof TupleExpression ? call.arguments.expressions : []
    }
}
