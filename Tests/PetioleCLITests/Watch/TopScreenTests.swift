import Petiole
import Testing

@testable import PetioleCLI

@Suite("The screen of petiole top") struct TopScreenTests {
    private static let model: TopModel = {
        var model = TopModel(store: "/srv/jobs/.petiole")
        model.queues = [
            TopModel.Queue(
                name: "run-86979020144e098a14aa", pid: 24_646, limit: 4, running: 4, ready: 8_912,
                waiting: 2, succeeded: 1_234, failed: 12, rate: 88.4),
            TopModel.Queue(
                name: "commands", pid: 24_700, isPaused: true, running: 1, ready: 3, succeeded: 17,
                rate: 0),
            TopModel.Queue(name: "nightly", running: 0, ready: 6, waiting: 1),
        ]
        let commands = [
            "gzip -9 'photos/2024/a holiday by the sea.tar'", "gzip -9 b.tar",
            "convert 写真.png -resize 50% 写真.jpg", "gzip -9 d.tar", "make -C docs html",
        ]
        model.running = commands.enumerated().map { index, title in
            TopModel.Running(
                id: JobID(rawValue: UInt64(1_240 + index)), queue: "run-86979020144e098a14aa",
                elapsed: .milliseconds(93_400 - 21_000 * index), pid: 31_000 + index,
                attempt: index == 1 ? 2 : 1, title: title)
        }
        let ages: [Duration] = (0..<12).map { .seconds(3 + $0 * $0 * 40) }
        model.failures = (0..<12).map { index in
            TopModel.Failed(
                id: JobID(rawValue: 1_200 - UInt64(index) * 7),
                queue: "run-86979020144e098a14aa", age: ages[index], attempt: 1,
                error: index == 2 ? "was ended by signal 9" : "exited with status 1",
                title: "gzip -9 \(index).tar")
        }
        return model
    }()

    private func state(_ keys: Key..., model: TopModel = model) -> TopState {
        var state = TopState()
        state.keepChoice(model, before: nil)
        for key in keys { _ = state.press(key, model, page: 20) }
        return state
    }

    @Test("at 80 by 24 all three lists are there, and what does not fit is counted")
    func narrow() {
        let screen = TopScreen.drawn(Self.model, state(), rows: 24, columns: 80)
        GoldenScreen.expect(
            screen.lines,
            are: """
                 petiole  /srv/jobs/.petiole                                  5 running, 88.4/s
                 8,921 ready, 3 waiting, 1,251 succeeded, 12 failed, 1 queue without a runner

                 QUEUE          PROCESS RUNNING LIMIT    READY WAITING     DONE FAILED    RATE
                 run-869790201…   24646       4     4    8,912       2    1,234     12  88.4/s
                 commands         24700       1     -        3       0       17      0  paused
                 nightly              -       0     -        6       1        0      0       -

                   RUNNING   TIME  PROCESS QUEUE         COMMAND
                      1240  1m33s    31000 run-86979020… gzip -9 'photos/2024/a holiday by the…
                      1241  1m12s    31001 run-86979020… (attempt 2) gzip -9 b.tar
                      1242    51s    31002 run-86979020… convert 写真.png -resize 50% 写真.jpg
                      1243    30s    31003 run-86979020… gzip -9 d.tar
                      1244   9.4s    31004 run-86979020… make -C docs html

                    FAILED    AGO  ATTEMPT QUEUE         ERROR                COMMAND    5 more
                      1200   3.0s        1 run-86979020… exited with status 1 gzip -9 0.tar
                      1193    43s        1 run-86979020… exited with status 1 gzip -9 1.tar
                      1186  2m43s        1 run-86979020… was ended by signal… gzip -9 2.tar
                      1179  6m03s        1 run-86979020… exited with status 1 gzip -9 3.tar
                      1172 10m43s        1 run-86979020… exited with status 1 gzip -9 4.tar
                      1165 16m43s        1 run-86979020… exited with status 1 gzip -9 5.tar
                      1158 24m03s        1 run-86979020… exited with status 1 gzip -9 6.tar
                 ↑↓ choose  o output  c cancel  r retry  p pause  + - limit  ? help  q quit
                """)
    }

    @Test("at 120 by 40 the lists have the room that they need")
    func wide() {
        let screen = TopScreen.drawn(Self.model, state(), rows: 40, columns: 120)
        GoldenScreen.expect(
            screen.lines,
            are: """
                 petiole  /srv/jobs/.petiole                                                                          5 running, 88.4/s
                 8,921 ready, 3 waiting, 1,251 succeeded, 12 failed, 1 queue without a runner

                 QUEUE                                    PROCESS RUNNING LIMIT    READY WAITING     DONE FAILED    RATE
                 run-86979020144e098a14aa                   24646       4     4    8,912       2    1,234     12  88.4/s
                 commands                                   24700       1     -        3       0       17      0  paused
                 nightly                                        -       0     -        6       1        0      0       -

                   RUNNING   TIME  PROCESS QUEUE                COMMAND
                      1240  1m33s    31000 run-86979020144e098… gzip -9 'photos/2024/a holiday by the sea.tar'
                      1241  1m12s    31001 run-86979020144e098… (attempt 2) gzip -9 b.tar
                      1242    51s    31002 run-86979020144e098… convert 写真.png -resize 50% 写真.jpg
                      1243    30s    31003 run-86979020144e098… gzip -9 d.tar
                      1244   9.4s    31004 run-86979020144e098… make -C docs html

                    FAILED    AGO  ATTEMPT QUEUE                ERROR                                  COMMAND
                      1200   3.0s        1 run-86979020144e098… exited with status 1                   gzip -9 0.tar
                      1193    43s        1 run-86979020144e098… exited with status 1                   gzip -9 1.tar
                      1186  2m43s        1 run-86979020144e098… was ended by signal 9                  gzip -9 2.tar
                      1179  6m03s        1 run-86979020144e098… exited with status 1                   gzip -9 3.tar
                      1172 10m43s        1 run-86979020144e098… exited with status 1                   gzip -9 4.tar
                      1165 16m43s        1 run-86979020144e098… exited with status 1                   gzip -9 5.tar
                      1158 24m03s        1 run-86979020144e098… exited with status 1                   gzip -9 6.tar
                      1151 32m43s        1 run-86979020144e098… exited with status 1                   gzip -9 7.tar
                      1144 42m43s        1 run-86979020144e098… exited with status 1                   gzip -9 8.tar
                      1137 54m03s        1 run-86979020144e098… exited with status 1                   gzip -9 9.tar
                      1130  1h06m        1 run-86979020144e098… exited with status 1                   gzip -9 10.tar
                      1123  1h20m        1 run-86979020144e098… exited with status 1                   gzip -9 11.tar











                 ↑↓ choose  o output  c cancel  r retry  p pause  + - limit  ? help  q quit
                """)
    }

    @Test("what is chosen is shown, however far down its list it is")
    func scrolled() {
        let screen = TopScreen.drawn(Self.model, state(.end), rows: 24, columns: 80)
        #expect(screen.lines.contains { $0.contains("gzip -9 11") })
        #expect(!screen.lines.contains { $0.contains("gzip -9 0") })
    }

    @Test("what a job writes fills the screen, long lines in several rows")
    func output() {
        var pane = OutputPane(id: JobID(rawValue: 1_240), title: "make -C docs html")
        pane.add(.bytes(.output, Array("building\tall\n\u{1B}[31mred\r\n".utf8)))
        pane.add(.bytes(.errorOutput, Array(String(repeating: "0123456789", count: 9).utf8)))
        var state = state(.tab)
        #expect(state.press(.enter, Self.model, page: 20) == .open(JobID(rawValue: 1_240)))
        let screen = TopScreen.drawn(Self.model, state, pane, rows: 24, columns: 80)
        GoldenScreen.expect(
            screen.lines,
            are: """
                 job 1240  make -C docs html                                           1-4 of 4
                 it goes on
                building        all
                \\u{1b}[31mred
                01234567890123456789012345678901234567890123456789012345678901234567890123456789
                0123456789

















                 ↑↓ scroll  PgUp PgDn page  G to the end  q back
                """)
    }

    @Test("a terminal that is too small is told so, and none is too small to draw on")
    func tiny() {
        for (rows, columns) in [(1, 1), (2, 30), (11, 200), (12, 39)] {
            let screen = TopScreen.drawn(Self.model, state(), rows: rows, columns: columns)
            #expect(screen.lines[0].hasPrefix("…") || screen.lines[0].hasPrefix("40"))
        }
        for rows in 12...30 {
            for columns in stride(from: 40, through: 130, by: 9) {
                let screen = TopScreen.drawn(
                    Self.model, state(), rows: rows, columns: columns)
                #expect(screen.lines[rows - 1].contains("choose"))
                // A line of each list, and what the jobs are.
                #expect(screen.lines.contains { $0.contains("gzip -9 '") })
                #expect(screen.lines.contains { $0.contains("gzip -9") && $0.contains("exit") })
            }
        }
    }

    @Test("failures that are too long ago to be listed are not said to be none")
    func olderFailures() {
        var model = Self.model
        model.failures = []
        let text = "none among the last 10,000 that ended"
        #expect(
            TopScreen.drawn(model, state(), rows: 24, columns: 80).lines.contains {
                $0.contains(text)
            })
        for index in model.queues.indices { model.queues[index].failed = 0 }
        #expect(
            !TopScreen.drawn(model, state(), rows: 24, columns: 80).lines.contains {
                $0.contains(text)
            })
    }

    @Test("where one has scrolled up the same rows stay, though the job writes on")
    func staysWhereOneReads() {
        let id = JobID(rawValue: 1_240)
        var pane = OutputPane(id: id, title: "seq 50")
        for number in 1...50 { pane.add(.bytes(.output, Array("line \(number)\n".utf8))) }
        var state = state(.tab)
        #expect(state.press(.enter, Self.model, page: 20) == .open(id))
        func text() -> String {
            state.placeOutput(pane, page: TopScreen.page(rows: 24))
            return TopScreen.drawn(Self.model, state, pane, rows: 24, columns: 80).lines[2]
        }
        #expect(text() == "line 31")
        _ = state.press(.pageUp, Self.model, page: 20)
        #expect(text() == "line 11")
        pane.add(.bytes(.output, Array("more\nthat has no end ye".utf8)))
        #expect(text() == "line 11")
        pane.add(.bytes(.output, Array("t\n".utf8)))
        #expect(text() == "line 11")
        _ = state.press(.end, Self.model, page: 20)
        #expect(text() == "line 33")
        // Lines that were taken away in between have moved nothing either.
        _ = state.press(.pageUp, Self.model, page: 20)
        #expect(text() == "line 13")
        for number in 1...5_470 { pane.add(.bytes(.output, Array("late \(number)\n".utf8))) }
        #expect(pane.hasLost && text() == "late 450")
        _ = state.press(.home, Self.model, page: 20)
        #expect(text() == pane.texts.first)
    }

    @Test("keys choose, ask and act")
    func keys() {
        let model = Self.model
        var state = state()
        #expect(state.choice == .queue("run-86979020144e098a14aa"))
        #expect(state.press(.letter("c"), model, page: 9) == nil && state.message != nil)
        #expect(
            state.press(.letter("p"), model, page: 9)
                == .setPaused(queue: "run-86979020144e098a14aa", true))
        #expect(
            state.press(.letter("+"), model, page: 9)
                == .setLimit(queue: "run-86979020144e098a14aa", 5))
        #expect(
            state.press(.letter("0"), model, page: 9)
                == .setLimit(queue: "run-86979020144e098a14aa", nil))
        _ = state.press(.down, model, page: 9)
        #expect(state.press(.letter("p"), model, page: 9) == .setPaused(queue: "commands", false))
        #expect(state.press(.letter("+"), model, page: 9) == nil)
        #expect(state.press(.letter("-"), model, page: 9) == .setLimit(queue: "commands", 1))
        _ = state.press(.tab, model, page: 9)
        #expect(state.choice == .running(JobID(rawValue: 1_240)))
        _ = state.press(.letter("c"), model, page: 9)
        #expect(state.press(.letter("n"), model, page: 9) == nil && state.mode == .list)
        _ = state.press(.letter("c"), model, page: 9)
        #expect(state.press(.letter("y"), model, page: 9) == .cancel(JobID(rawValue: 1_240)))
        _ = state.press(.backTab, model, page: 9)
        #expect(state.choice == .queue("run-86979020144e098a14aa"))
        _ = state.press(.backTab, model, page: 9)
        #expect(state.press(.letter("r"), model, page: 9) == .requeue(JobID(rawValue: 1_200)))
        #expect(state.press(.letter("q"), model, page: 9) == .quit)
    }

    @Test("when what is chosen has gone, what stands in its place is chosen")
    func gone() {
        var state = state(.tab, .down)
        var after = Self.model
        after.running.remove(at: 1)
        state.keepChoice(after, before: Self.model)
        #expect(state.choice == .running(JobID(rawValue: 1_242)))
        state.keepChoice(TopModel(store: ""), before: after)
        #expect(state.choice == nil)
    }

    @Test("what differs is written, and the terminal then shows the same")
    func difference() {
        let states = [
            (state(), 24), (state(.down), 24), (state(.letter("?")), 24), (state(.tab, .down), 24),
            (state(.end), 30),
        ]
        var terminal = TerminalEmulator(rows: 24, columns: 80)
        var shown: Screen?
        for (state, rows) in states {
            if rows != terminal.rows { terminal.resize(rows: rows, columns: 80) }
            let screen = TopScreen.drawn(Self.model, state, rows: rows, columns: 80)
            terminal.take(
                screen.difference(
                    from: shown, look: TerminalLook(usesUnicode: true, usesColour: true)
                )
                .utf8)
            shown = screen
            #expect(terminal.lines == screen.lines)
            #expect(terminal.unknown == [] && terminal.wrapCount == 0)
            #expect(
                screen.difference(
                    from: shown, look: TerminalLook(usesUnicode: true, usesColour: true)) == "")
        }
    }

    @Test("without colours and without UTF-8 nothing of either is written")
    func plain() {
        let screen = TopScreen.drawn(Self.model, state(), rows: 24, columns: 80)
        let text = screen.difference(
            from: nil, look: TerminalLook(usesUnicode: false, usesColour: false))
        #expect(text.utf8.allSatisfy { $0 < 0x80 })
        var terminal = TerminalEmulator(rows: 24, columns: 80)
        terminal.take(text.utf8)
        #expect(terminal.styles.isSubset(of: [0, 1, 7]))
        #expect(terminal.text.contains("convert ??"))
    }
}

@Suite("Keys of a terminal") struct KeyReaderTests {
    private static let sent: [UInt8] =
        Array("q\u{1B}[A\u{1B}OB\u{1B}[5~\u{1B}[6~\u{1B}[H\u{1B}[4~\u{1B}[Z\t\r\u{1B}[1;5Cé".utf8)
    private static let keys: [Key] = [
        .letter("q"), .up, .down, .pageUp, .pageDown, .home, .end, .backTab, .tab, .enter,
    ]

    @Test("keys are the same in whatever pieces they come", arguments: 1...9)
    func pieces(size: Int) {
        var reader = KeyReader()
        var keys: [Key] = []
        for start in stride(from: 0, to: Self.sent.count, by: size) {
            keys += reader.take(Self.sent[start..<min(Self.sent.count, start + size)])
        }
        #expect(keys == Self.keys)
        #expect(!reader.isUnfinished)
    }

    @Test("Escape is a key when nothing follows it")
    func escape() {
        var reader = KeyReader()
        #expect(reader.take([0x1B]) == [])
        #expect(reader.isUnfinished)
        #expect(reader.finish() == [.escape])
        #expect(!reader.isUnfinished)
        #expect(reader.take([0x1B, UInt8(ascii: "q")]) == [.escape, .letter("q")])
    }
}

@Suite("What jobs write on a terminal") struct ShownBytesTests {
    @Test("it is the same in whatever pieces it comes, and drives nothing", arguments: 1...7)
    func pieces(size: Int) {
        let bytes: [UInt8] =
            Array("é写真😀\r\na\tb\u{1B}[2J\u{202E}\r".utf8) + [0xFF, 0xE5, 0x86]
        var shown = ShownBytes()
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: size) {
            text += shown.take(bytes[start..<min(bytes.count, start + size)])
        }
        text += shown.end()
        #expect(text == "é写真😀\na\tb\\u{1b}[2J\\u{202e}\\u{d}\u{FFFD}\u{FFFD}")
    }

    @Test("of a job that writes without end the newest lines are kept")
    func bounded() {
        var pane = OutputPane(id: JobID(rawValue: 1), title: "yes")
        for number in 0..<20_000 { pane.add(.bytes(.output, Array("\(number)\n".utf8))) }
        #expect(pane.texts.count <= 5_500 && pane.texts.count >= 5_000)
        #expect(pane.texts.last == "19999" && pane.hasLost)
    }

    @Test(
        "a line of any length is kept in parts of 4 KiB, and of all the newest 2 MiB",
        arguments: ["x", "\t", "é", "写", "e\u{301}", "\u{1B}"])
    func longLines(letter: String) {
        var pane = OutputPane(id: JobID(rawValue: 1), title: "base64 -w0")
        let piece = Array(String(repeating: letter, count: 60_000).utf8)
        for _ in 0..<6 { pane.add(.bytes(.output, piece)) }
        // A tab takes eight.
        #expect(pane.texts.allSatisfy { $0.utf8.count <= (letter == "\t" ? 32_768 : 4_096) })
        #expect(pane.texts.reduce(0) { $0 + $1.utf8.count } <= 2_400_000)
        #expect(!pane.rows(last: 20).contains { $0.text.contains("\u{FFFD}") })
        #expect(pane.rows(last: 20).allSatisfy { CellWidth.of($0.text) <= 80 })
        #expect(pane.rows(last: 20).count == 20)
    }

    @Test("the last rows are those at the end of all rows, whatever the width", arguments: 1...9)
    func lastRows(columns: Int) {
        var pane = OutputPane(id: JobID(rawValue: 1), title: "cat")
        pane.add(.bytes(.output, Array("写真 and 0123456789\n\na\tb\nno end".utf8)))
        pane.add(.bytes(.errorOutput, Array("nor here é".utf8)))
        pane.wrap(to: columns)
        let all = pane.rows(last: 1_000).map(\.text)
        #expect(all.count == pane.rowCount && pane.rowsEver == pane.rowCount)
        let text = "写真 and 0123456789a       bno endnor here é"
        #expect(all.joined() == text)
        for leftOut in 0...all.count {
            for count in 0...all.count {
                let wanted = Array(all.dropLast(leftOut).suffix(count))
                let found = pane.rows(last: count, before: leftOut).map(\.text)
                #expect(found == wanted)
            }
        }
    }
}
