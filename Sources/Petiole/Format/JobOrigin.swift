/// The job of another store that one was imported as: so it is known when the same export is imported again.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | the other store's number |
/// | 8 | 8 | id |
package struct JobOrigin: Equatable, Hashable, Sendable {
    package let store: UInt64
    package let id: UInt64

    package init(store: UInt64, id: UInt64) {
        self.store = store
        self.id = id
    }

    static let tag: UInt8 = 60
    static let size = 16

    init(_ bytes: UnsafeRawBufferPointer) {
        store = bytes.littleEndian(at: 0)
        id = bytes.littleEndian(at: 8)
    }

    /// Writes it as a field of ``JobOptions``.
    func append(to writer: inout ByteWriter) {
        writer.append(littleEndian: Self.tag)
        writer.append(littleEndian: UInt16(Self.size))
        writer.append(littleEndian: store)
        writer.append(littleEndian: id)
    }
}
