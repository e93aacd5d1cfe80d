import CPetiole
import Petiole
import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Progress bar") struct ProgressBarTests {
    private static let unicode = TerminalLook(usesUnicode: true, usesColour: false)
    private static let ascii = TerminalLook(usesUnicode: false, usesColour: false)

    private func bar(total: Int? = 10_000, ended: Int = 1_234, failed: Int = 3) -> ProgressBar {
        var bar = ProgressBar(total: total)
        for number in 0..<ended {
            bar.add(hasFailed: number < failed, runTime: .milliseconds(120 + number % 100))
        }
        bar.look(after: .seconds(6), running: Array(repeating: .milliseconds(50), count: 8))
        return bar
    }

    @Test("a bar has all of it at 80 and at 120 columns, and what matters at fewer")
    func widths() {
        GoldenScreen.expect(
            [120, 100, 80, 60, 40, 20].map { bar().line(columns: $0, look: Self.unicode) },
            are: """
                ████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  12%  1,234/10,000  8 running  3 failed  206/s  p50 168ms p95 217ms  43s left
                ██░░░░░░░░░░░░░░░░░░░  12%  1,234/10,000  8 running  3 failed  206/s  p50 168ms p95 217ms  43s left
                █░░░░░░░░░░░░░ 12% 1,234/10,000 8 run 3 fail 206/s p50 168ms p95 217ms 43s left
                ░░░░░░░░  12%  1,234/10,000  8 run  3 fail  206/s  43s left
                12%  1,234/10,000  3 fail  43s left
                12%
                """)
        GoldenScreen.expect(
            [
                bar().line(columns: 80, look: Self.ascii),
                bar(ended: 10_000).line(columns: 80, look: Self.ascii, isLast: true),
                bar(total: nil).line(columns: 80, look: Self.ascii),
                ProgressBar(total: 10).line(columns: 80, look: Self.ascii),
                ProgressBar(total: nil).line(columns: 80, look: Self.ascii),
            ],
            are: """
                #............. 12% 1,234/10,000 8 run 3 fail 206/s p50 168ms p95 217ms 43s left
                ########### 100% 10,000/10,000 8 run 3 fail 1,667/s p50 168ms p95 217ms in 6.0s
                1,234 done  8 running  3 failed  206/s  p50 168ms p95 217ms
                ........................................  0%  0/10
                0 done
                """)
    }

    @Test("no line is as wide as the terminal, whatever the numbers are")
    func fits() {
        for ended in [0, 1, 999, 12_345] {
            let bar = bar(total: 12_345, ended: ended, failed: ended / 2)
            for columns in 1...200 {
                let line = bar.line(columns: columns, look: Self.unicode)
                #expect(line.count < max(2, columns), "\(columns): \(line)")
            }
        }
    }

    @Test("colours are used where they may be, and add nothing to be seen")
    func colours() {
        let plain = bar().line(columns: 80, look: Self.unicode)
        let coloured = bar().line(
            columns: 80, look: TerminalLook(usesUnicode: true, usesColour: true))
        #expect(!plain.contains("\u{1B}") && coloured.contains("\u{1B}[31m3 fail"))
        #expect(coloured.replacing(/\u{1B}\[[0-9]+m/, with: "") == plain)
    }

    @Test("in a log all is told in words")
    func plain() {
        #expect(
            bar().plain
                == "1,234 of 10,000 done, 12 %, 8 running, 3 failed, 206/s, run time p50 168ms, p95 217ms, 43 s left"
        )
        var done = ProgressBar(total: 10, before: 4)
        for _ in 0..<6 { done.add(hasFailed: false, runTime: .seconds(1)) }
        done.look(after: .seconds(10), running: [])
        #expect(done.plain.hasPrefix("10 of 10 done, 100 %") && done.plain.hasSuffix("0 s left"))
    }

    @Test("what the environment says of a terminal is heeded")
    func environment() {
        func look(_ variables: [String: String]) -> TerminalLook {
            TerminalLook { variables[$0].map { Array($0.utf8) } }
        }
        let usual = look(["TERM": "xterm", "LANG": "de_DE.UTF-8"])
        #expect(usual.usesColour && usual.usesUnicode && !usual.isDumb)
        #expect(!look(["TERM": "xterm", "NO_COLOR": "1"]).usesColour)
        #expect(look(["TERM": "xterm", "NO_COLOR": ""]).usesColour)
        #expect(look(["TERM": "dumb"]).isDumb && look([:]).isDumb)
        #expect(!look(["LANG": "en_US.UTF-8", "LC_ALL": "C"]).usesUnicode)
        #expect(look(["LANG": "C", "LC_CTYPE": "C.utf8"]).usesUnicode)
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

@Suite("The bar of petiole run in a terminal", .ownThreads, .timeLimit(.minutes(10)))
struct BarInTerminalTests {
    let tool = Tool()

    private func run(columns: Int, variables: [String: String] = [:]) throws -> PseudoTerminal {
        // The last waits until somebody has looked.
        try tool.write(
            "test $1 -lt 40 || cat gate; test $1 != 7", to: "work.sh")
        mkfifo(tool.file("gate"), 0o600)
        let inputs = (1...40).map(String.init)
        return try PseudoTerminal(
            [Tool.path, "run", "--bar", "-j2", "sh", "work.sh", "{}", ":::"] + inputs,
            in: tool.folder, columns: columns, variables: variables)
    }

    private func open() { try? tool.write("", to: "gate") }

    @Test("it stands in one row, and ends with what was done", arguments: [80, 120])
    func bar(columns: Int) throws {
        let terminal = try run(columns: columns)
        try terminal.wait(forText: "39/40")
        try terminal.wait(for: "one running") { $0.lines[0].contains(" 1 run") }
        #expect(terminal.screen.lines[0].contains("97%"))
        #expect(terminal.screen.lines[0].contains("left"))
        #expect(terminal.screen.lines[0].contains("█"))
        open()
        #expect(try terminal.end() == 1)
        #expect(terminal.screen.wrapCount == 0 && terminal.screen.unknown == [])
        #expect(terminal.screen.styles.contains(31))
        let lines = terminal.screen.lines
        #expect(lines[0].contains("100%") && lines[0].contains("40/40"), "\(lines[0])")
        #expect(lines[0].contains(columns == 80 ? "1 fail" : "1 failed"))
        #expect(lines[1].hasPrefix("petiole: 1 of 40 jobs failed"))
    }

    @Test("without colours when NO_COLOR says so")
    func noColour() throws {
        let terminal = try run(columns: 80, variables: ["NO_COLOR": "1"])
        try terminal.wait(forText: "39/40")
        open()
        #expect(try terminal.end() == 1)
        #expect(terminal.screen.styles.isEmpty)
        #expect(terminal.screen.lines[0].contains("40/40"))
    }

    @Test("as a line of words on a terminal that moves no cursor, and where it is none")
    func dumb() throws {
        let terminal = try run(columns: 80, variables: ["TERM": "dumb"])
        open()
        #expect(try terminal.end() == 1)
        #expect(!terminal.bytes.contains(0x1B))
        #expect(terminal.screen.text.contains("petiole: 40 of 40 done, 100 %"))
        let end = try tool.run("run", "--bar", "true", ":::", "a", "b")
        #expect(end.errorOutput.contains("petiole: 2 of 2 done, 100 %"))
        #expect(!end.errorOutput.contains("\u{1B}"))
    }
}
