import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// What a start of a run came to.
extension RunSession {
    /// What the inputs came to, when nothing stopped them.
    struct RunEnd {
        /// Those that did not succeed.
        let notWell: Int
        let accepted: Int
        /// Whether all have ended.
        let isWhole: Bool
        let request: StopRequest
        let current: CurrentRunner
    }

    func follow(
        _ end: RunEnd, _ store: JobStore, _ queue: String, _ followUpQueue: String
    ) async throws {
        if followUps.isEmpty {
            return try FollowUpSession.sayUnfinished(in: followUpQueue, store)
        }
        guard end.isWhole else {
            return say("not all inputs have ended, so nothing follows; the same line again goes on")
        }
        let occasion = end.notWell == 0 ? FollowUp.Occasion.then : .onFailure
        let session = FollowUpSession(
            store: store, runQueue: queue, queue: followUpQueue, inputs: end.accepted,
            retries: pace.retries, request: end.request, current: end.current,
            style: OutputStyle(isRaw: output.raw), outputLimit: output.limit,
            retryPolicy: pace.retryPolicy)
        try await session.run(followUps.first { $0.occasion == occasion })
    }

    /// - Returns: how many inputs did not succeed.
    func report(
        _ past: Past, _ listing: Listing, _ before: JobCounts, _ after: JobCounts,
        _ tally: RunPrinter.Tally, _ haltReason: String?, _ request: StopRequest
    ) throws -> Int {
        let notWell = past.failed + Self.notWell(after) - Self.notWell(before)
        let left = after.unfinished
        if let reason = haltReason, left > 0 || !listing.isWhole {
            say(
                """
                halted, since \(reason): \(counted(after.ended, "job")) ended, \(grouped(left)) \
                \(left == 1 ? "is" : "are") left\(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """)
            return notWell
        }
        if let signal = request.signal, left > 0 || !listing.isWhole {
            say(
                """
                stopped: \(counted(after.ended, "job")) ended, \(grouped(left)) \(left == 1 ? "is" : "are") left\
                \(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """)
            throw Failure("", status: 128 + signal)
        }
        if tally.isPipeBroken {
            if left > 0 || !listing.isWhole {
                say("standard output was closed; the same line again goes on from here")
            }
            throw Failure("", status: 128 + SIGPIPE)
        }
        if left > 0 || !listing.isWhole {
            throw Failure(
                """
                \(counted(left, "job")) of this run \(left == 1 ? "has" : "have") not ended\(listing.isWhole ? "" : ", and not all inputs were read")
                the same line again goes on from here
                """, status: 125)
        }
        let total = past.endedCount + past.pending + listing.new
        if past.pending == 0, listing.new == 0, listing.redone == 0 {
            say(
                "this run is finished: \(counted(total, "job")), "
                    + (notWell == 0 ? "all succeeded" : "\(grouped(notWell)) not well")
                    + "; --fresh starts anew")
        } else if notWell > 0 {
            let old =
                past.failed > 0
                ? " (\(grouped(past.failed)) of them before; --retry-failed runs them once more)"
                : ""
            say(
                """
                \(grouped(notWell)) of \(counted(total, "job")) failed\(old)
                see petiole jobs --state failed --state dead
                """)
        }
        return notWell
    }

    static func notWell(_ counts: JobCounts) -> Int {
        counts.failed + counts.deadLetters + counts.cancelled + counts.expired + counts.discarded
            + counts.dropped
    }
}
