import Petiole

/// Which workflow a job belongs to, for what is said of it.
extension JobStore {
    func standsForWorkflow(_ id: JobID) throws -> Bool {
        try workflows(from: id, limit: 1).first?.id == id
    }

    /// The workflow that a requeue of a job carries on; nil: the job is part of none, or of one that goes on by itself.
    func stoppedWorkflow(of id: JobID) throws -> JobID? {
        do {
            let workflow = try workflow(id)
            guard case .ended(let outcome) = workflow.state, outcome.kind != .succeeded else {
                return nil
            }
            return workflow.id
        } catch StoreError.noSuchJob { return nil }
    }
}
