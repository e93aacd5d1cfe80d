/// How many jobs the runners of other processes run at once, and how that is changed while they run.
extension JobStore {
    /// How many jobs at once each runner runs, by its process. Where one has several, the sum.
    /// - Complexity: O(1), and a call of the system for each runner.
    package func placesOfRunners() -> [Int: Int] {
        var places: [Int: Int] = [:]
        for seat in 0..<RunningSlots.seatCount {
            guard let count = open.slots.places(seat: seat), let pid = owner(ofSeat: seat) else {
                continue
            }
            places[pid, default: 0] += count
        }
        return places
    }

    /// What came of a request for another number of jobs at once.
    package enum PlacesChange: Sendable, Equatable {
        /// So many run at once now.
        case now(Int)
        /// The process runs nothing of this store.
        case noRunner
        /// It has not answered, or its number is fixed.
        case noAnswer
    }

    /// How long a runner has to answer.
    private static let answerTime: Int64 = 10_000_000_000

    /// Asks the runner of another process, or of this one, to run so many jobs at once. Blocks the thread until it has answered.
    package func setPlaces(_ count: Int, ofRunner pid: Int) -> PlacesChange {
        for seat in 0..<RunningSlots.seatCount where open.slots.places(seat: seat) != nil {
            guard owner(ofSeat: seat) == pid else { continue }
            open.slots.wantPlaces(seat: seat, count)
            // Its steward sleeps on that.
            open.signals.control.ring()
            return open.slots.awaitPlaces(seat: seat, atMost: Self.answerTime).map { .now($0) }
                ?? .noAnswer
        }
        return .noRunner
    }

    private func owner(ofSeat seat: Int) -> Int? {
        let pid = open.locks.holder(of: StoreFormat.seatLock(seat))
        return pid.map { Int($0) }
    }
}
