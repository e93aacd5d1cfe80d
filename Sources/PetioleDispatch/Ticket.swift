/// A run of consecutive ids that one worker is to take: what the ring carries.
@frozen
package struct Ticket: BitwiseCopyable, Sendable, Equatable {
    /// The first id of the run.
    package var first: UInt64
    /// How many ids the run has, at most ``maximumCount``.
    package var count: UInt32
    /// A word of the source's own, handed through unchanged: a lane, a queue. One bit has a meaning here:
    /// ``wholeBit``.
    package var tag: UInt32

    /// The bit of a tag that keeps a ticket whole: nobody takes half of it, one worker runs all of it, one
    /// after another.
    package static let wholeBit: UInt32 = 1 << 31

    @inlinable package var isWhole: Bool { tag & Ticket.wholeBit != 0 }

    /// The tag without that bit.
    @inlinable package var rangeTag: UInt32 { tag & ~Ticket.wholeBit }

    /// A ``Rest`` tells its tickets apart only while each is shorter than half of its 32-bit
    /// offsets.
    package static let maximumCount = UInt32(Int32.max)

    @inlinable
    package init(first: UInt64, count: UInt32, tag: UInt32 = 0) {
        self.first = first
        self.count = count
        self.tag = tag
    }
}
