import CPetiole

// How many jobs run at once in a seat
//
// One word: low half how many it is, high half how many somebody has asked for.
//
//     who asks (any process)                   the seat's steward
//     puts 3 into the high half, rings control
//                                              reads 3, changes the pool
//                                              puts {now: 3, asked: 0}, unless the word has changed: then it looks again
//     waits for the word, finds 0 asked
//
// It dies with the machine's memory, and the next owner of the seat writes it anew: it is of the runner, not of the store.

extension RunningSlots {
    private func placesWord(_ seat: Int) -> UnsafeMutablePointer<UInt32> {
        (heart(seat) + 28).assumingMemoryBound(to: UInt32.self)
    }

    private func load(_ seat: Int) -> (now: UInt32, wanted: UInt32) {
        let word = petiole_load_sequential_u32(placesWord(seat))
        return (word & 0xFFFF, word >> 16)
    }

    private func swap(
        _ seat: Int, _ old: (now: UInt32, wanted: UInt32), _ new: (now: UInt32, wanted: UInt32)
    ) -> Bool {
        petiole_swap_u32(
            placesWord(seat), old.wanted << 16 | old.now, new.wanted << 16 | new.now) != 0
    }

    /// How many jobs run there at once; nil: its runner has not said.
    func places(seat: Int) -> Int? {
        let now = load(seat).now
        return now == 0 ? nil : Int(now)
    }

    /// How many somebody has asked for.
    func wantedPlaces(seat: Int) -> Int? {
        let wanted = load(seat).wanted
        return wanted == 0 ? nil : Int(wanted)
    }

    /// For the seat's owner: says how many it is now. What somebody asks for stays; with 0, which ends the seat's use, it goes.
    func setPlaces(seat: Int, _ count: Int) {
        while true {
            let old = load(seat)
            let wanted = count == 0 ? 0 : old.wanted
            if swap(seat, old, (UInt32(clamping: min(count, 0xFFFF)), wanted)) { break }
        }
        petiole_wake(placesWord(seat), 1, Int32.max)
    }

    /// For the seat's owner: what was asked for is done; not if it is something else by now.
    func answer(seat: Int, wanted: Int, _ count: Int) {
        let old = load(seat)
        guard old.wanted == UInt32(wanted) else { return }
        _ = swap(seat, old, (UInt32(clamping: min(count, 0xFFFF)), 0))
        petiole_wake(placesWord(seat), 1, Int32.max)
    }

    /// For anybody: asks for so many, 1 to 65,535.
    func wantPlaces(seat: Int, _ count: Int) {
        while true {
            let old = load(seat)
            if swap(seat, old, (old.now, UInt32(min(max(count, 1), 0xFFFF)))) { return }
        }
    }

    /// Blocks the thread until what was asked for is answered, or so many nanoseconds are over.
    /// - Returns: how many it is; nil: nobody has answered.
    func awaitPlaces(seat: Int, atMost nanoseconds: Int64) -> Int? {
        let end = petiole_steady_time() + nanoseconds
        while true {
            let (now, wanted) = load(seat)
            if wanted == 0 { return Int(now) }
            let left = end - petiole_steady_time()
            if left <= 0 { return nil }
            _ = petiole_wait_for(placesWord(seat), wanted << 16 | now, 1, left, .max)
        }
    }
}
