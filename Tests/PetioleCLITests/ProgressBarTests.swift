import CPetiole
import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Progress bar") struct ProgressBarTests {
    @Test(
        "the time left is told in whole seconds",
        arguments: [(8, "3 s left"), (1, "1 min 30 s left"), (9, "2 s left"), (10, "0 s left")])
    func timeLeft(ended: Int, text: String) {
        var bar = ProgressBar(total: 10)
        bar.ended = ended
        #expect(bar.plain(elapsed: .seconds(10)).hasSuffix(text))
    }

    @Test("whatever is written while a bar stands there begins a line of its own")
    func givesWay() throws {
        var ends: [Int32] = [-1, -1]
        try #require(petiole_pipe(&ends, 0) == 0)
        defer { close(ends[0]) }
        let output = Standard(descriptor: ends[1], endsAtFailure: false)
        output.drawBar("[##..]", isLast: false)
        output.line("stops")
        output.line("twice")
        output.drawBar("[###.]", isLast: false)
        output.eraseBar()
        output.eraseBar()
        output.drawBar("[####]", isLast: true)
        output.line("done")
        output.flush()
        close(ends[1])
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = read(ends[0], &buffer, buffer.count)
        #expect(
            String(decoding: buffer[..<max(0, count)], as: UTF8.self)
                == "\r[##..]\u{1B}[K\r\u{1B}[Kstops\ntwice\n\r[###.]\u{1B}[K\r\u{1B}[K"
                + "\r[####]\u{1B}[K\ndone\n")
    }
}
