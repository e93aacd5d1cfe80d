/// Cuts what comes piece by piece into blocks.
///
/// A block ends with the first record that ends at or behind the size, or where the input ends: so it has at least that size,
/// but for the last one, and the longer its records are the more it has beyond. Where it ends depends on its bytes alone,
/// not on the pieces, nor on what is before it.
struct BlockCutter {
    /// At least 1.
    let size: Int
    let rule: RecordRule
    /// Bytes of the block that were given out.
    private var given = 0

    init(size: Int, _ rule: RecordRule) {
        self.size = size
        self.rule = rule
    }

    /// What can be given out of the bytes that follow what was given out: how many of the first belong to the block, and whether
    /// they are its last.
    /// - Parameter isLast: whether nothing follows these bytes. They are not empty then, or the block is.
    mutating func take(_ bytes: UnsafeRawBufferPointer, isLast: Bool) -> (count: Int, ends: Bool) {
        // Where the end of a record may begin that ends the block.
        let from = max(size - rule.end.count - given, 0)
        if let cut = rule.cut(in: bytes, from: from), cut + given > 0 {
            given = 0
            return (cut, true)
        }
        if isLast {
            given = 0
            return (bytes.count, true)
        }
        // What may be the beginning of an end stays.
        let free = min(bytes.count, max(from, bytes.count - max(rule.length - 1, 0)))
        given += free
        return (free, false)
    }
}
