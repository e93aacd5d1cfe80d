import CPetiole
import PetioleStorage

/// What a runner says of itself in the header of `running`, 32 bytes for each seat: that its steward lives, and which of its
/// attempts takes far longer than others of its kind.
///
/// | at | size | from 2,048 on, 32 bytes apart |
/// |---|---|---|
/// | 0 | 8 | when its steward looked around last, nanoseconds of the steady clock |
/// | 8 | 8 | the job whose attempt takes far longer than others of its kind, 0: none |
/// | 16 | 8 | how long others take on average, nanoseconds |
/// | 24 | 4 | how many such attempts there are |
/// | 28 | 2 | how many jobs run there at once, 0: nobody has said; see `RunningSlots+Places.swift` |
/// | 30 | 2 | how many somebody has asked for, 0: nobody has |
extension RunningSlots {
    struct Overdue: Equatable {
        var job: UInt64
        var averageNanoseconds: Int64
        /// It and others.
        var count: Int
    }

    func heart(_ seat: Int) -> UnsafeMutableRawPointer {
        precondition(seat < Self.seatCount, "no such seat")
        return header + 2_048 + seat * 32
    }

    /// Nanoseconds of the steady clock; 0: it never has.
    func beat(seat: Int) -> Int64 { Int64(bitPattern: petiole_load_u64(heart(seat))) }

    /// For the seat's owner alone.
    func setBeat(seat: Int, _ now: Int64, _ overdue: Overdue?) {
        let heart = heart(seat)
        petiole_store_u64(heart + 16, UInt64(bitPattern: overdue?.averageNanoseconds ?? 0))
        petiole_store_u32(heart + 24, UInt32(clamping: overdue?.count ?? 0))
        petiole_store_u64(heart + 8, overdue?.job ?? 0)
        petiole_store_u64(heart, UInt64(bitPattern: now))
    }

    func overdue(seat: Int) -> Overdue? {
        let heart = heart(seat)
        let job = petiole_load_u64(heart + 8)
        if job == 0 { return nil }
        return Overdue(
            job: job, averageNanoseconds: Int64(bitPattern: petiole_load_u64(heart + 16)),
            count: Int(petiole_load_u32(heart + 24)))
    }
}
