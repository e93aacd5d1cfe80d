// See `AttemptHooks.swift`.
extension AttemptLoop {
    /// Within what is done around attempts.
    func performHooked(
        _ id: UInt64, _ job: JobBlockView.Entry, _ entry: JobEntry
    ) throws -> JobEntry.Performance {
        try core.hooks!.perform(
            entry, job.payload, codec: job.meta.codec, context,
            AttemptInfo(context, entry, queue!, priority: priority, acceptedAt: acceptedAt, store),
            into: &result, endView: { endView() })
    }
}
