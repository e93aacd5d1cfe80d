import PetioleStorage
import Synchronization

/// The plans that were read lately: they never change, and each step of a workflow asks for its own.
final class PlanCache: Sendable {
    /// 64 MiB; beyond, all are forgotten and read anew.
    private static let byteLimit = 64 << 20

    private struct State {
        var plans: [UInt64: WorkflowPlan] = [:]
        var byteCount = 0
    }
    private let state = Mutex(State())

    /// - Returns: nil when the workflow is gone.
    func plan(
        _ token: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> WorkflowPlan? {
        if let plan = state.withLock({ $0.plans[token] }) { return plan }
        guard let plan = try WorkflowRows.readPlan(token, transaction, tables) else { return nil }
        guard plan.isSound else { throw .damaged("the plan of a workflow has a wrong checksum") }
        state.withLock { state in
            if state.byteCount + plan.byteCount > Self.byteLimit { state = State() }
            if state.plans.updateValue(plan, forKey: token) == nil {
                state.byteCount += plan.byteCount
            }
        }
        return plan
    }
}
