import Testing

@testable import Petiole

@Suite("Byte writer") struct ByteWriterTests {
    @Test("what is appended comes out in order, across every growth")
    func appends() {
        var writer = ByteWriter(capacity: 0)
        var expected: [UInt8] = []
        for round in 0..<500 {
            writer.append(UInt8(truncatingIfNeeded: round))
            expected.append(UInt8(truncatingIfNeeded: round))
            writer.append(littleEndian: UInt32(0x0102_0304))
            expected += [4, 3, 2, 1]
            writer.append(bigEndian: UInt16(0x0506))
            expected += [5, 6]
            let run = [UInt8](repeating: 7, count: round)
            run.withUnsafeBytes { writer.append(contentsOf: $0) }
            expected += run
        }
        #expect(writer.count == expected.count)
        #expect(writer.withBytes { Array($0) } == expected)
    }

    @Test("reserved bytes are counted and can be filled in place")
    func reserves() {
        var writer = ByteWriter(capacity: 16)
        writer.append(1)
        writer.reserve(100).initializeMemory(as: UInt8.self, repeating: 2, count: 100)
        #expect(writer.withBytes { Array($0) } == [1] + [UInt8](repeating: 2, count: 100))
    }

    @Test("a writer that is emptied keeps its allocation, and one cut short keeps its beginning")
    func empties() {
        var writer = ByteWriter(capacity: 16)
        for byte in 0..<200 { writer.append(UInt8(byte)) }
        let capacity = writer.capacity
        let base = writer.base
        writer.truncate(to: 300)
        #expect(writer.count == 200)
        writer.truncate(to: 2)
        #expect(writer.withBytes { Array($0) } == [0, 1])
        writer.removeAll()
        #expect(writer.count == 0 && writer.capacity == capacity && writer.base == base)
    }

    @Test("a gap moves what follows up, and shrinking keeps what is there")
    func gaps() {
        var writer = ByteWriter(capacity: 16)
        for byte in 0..<100 { writer.append(UInt8(byte)) }
        writer.openGap(at: 1, length: 2)
        #expect(writer.withBytes { $0[0] == 0 && $0[3] == 1 && $0[101] == 99 })
        writer.truncate(to: 10)
        let expected = writer.withBytes { Array($0) }
        writer.shrink(toCapacity: 20)
        #expect(writer.capacity == 20)
        #expect(writer.withBytes { Array($0) } == expected)
    }
}
