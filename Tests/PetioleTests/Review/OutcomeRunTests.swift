import Testing

@testable import Petiole

@Suite("Outcomes handed in late") struct OutcomeRunTests {
    @Test("a part of a run reads like the whole", arguments: 0..<5, 1...5)
    func part(start: Int, end: Int) throws {
        guard start < end else { return }
        var whole = OutcomeBlockBuilder()
        for index in 0..<5 {
            let result = [UInt8](repeating: UInt8(index), count: index * 3)
            result.withUnsafeBytes { bytes in
                whole.append(
                    UInt64(10 + index),
                    OutcomeEntry(
                        state: .succeeded, codec: 1, attempt: 1, startedAt: Int64(1_000 + index),
                        runMicroseconds: 7), result: bytes)
            }
        }
        let part = whole.part(from: UInt64(10 + start), to: UInt64(10 + end))
        var bytes = [UInt8](repeating: 0, count: part.size)
        bytes.withUnsafeMutableBytes { part.write(to: $0.baseAddress!, queue: 1) }
        try bytes.withUnsafeBytes { bytes in
            let view = try OutcomeBlockView(first: UInt64(10 + start), value: bytes)
            #expect(view.count == end - start)
            for index in start..<end {
                let entry = try view.entry(UInt64(10 + index))
                #expect(entry.startedAt == Int64(1_000 + index))
                #expect(Array(entry.result) == [UInt8](repeating: UInt8(index), count: index * 3))
            }
        }
    }
}
