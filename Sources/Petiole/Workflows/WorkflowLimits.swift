/// The bounds of workflows.
public enum WorkflowLimits {
    /// Steps, groups and scopes of one workflow together; a group of equal jobs is one of them, however many the jobs.
    public static let nodes = 100_000
    /// 64 MiB: payloads of single steps together, which are accepted in one transaction. Groups of equal jobs do not count: they
    /// are staged.
    public static let stepBytes = 64 << 20
    /// Workflows, groups and callbacks put one into the other. What follows one another is not: a chain is bound by ``nodes`` alone.
    public static let depth = 200
    /// Workflows that come of workflows: a job of a workflow may give way to another, whose job may do so again.
    public static let nesting = 16
}
