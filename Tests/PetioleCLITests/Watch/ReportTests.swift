import Testing

@testable import Petiole
@testable import PetioleCLI

@Suite("The text of petiole report") struct ReportTextTests {
    /// A run of 2,000 commands as it would have been, without a clock.
    private static let data: ReportData = {
        var data = ReportData(slowLimit: 4)
        var number = 7
        for index in 0..<2_000 {
            number = number * 48_271 % 2_147_483_647
            let runTime = 40_000 + number % 400_000 + (index % 500 == 3 ? 7_000_000 : 0)
            // Slower in the second half.
            let start = 1_764_000_000_000_000 + index * 50_000 + max(0, index - 1_000) * 90_000
            let fails = index % 111 == 5
            let failure =
                fails
                ? JobFailure(
                    type: "Command",
                    message:
                        index % 333 == 5 ? "it was ended by signal 9" : "it exited with status 1")
                : nil
            data.add(
                JobID(rawValue: UInt64(index + 1)),
                .ended(
                    Outcome(
                        kind: fails ? .failed : .succeeded, attempt: index % 100 == 0 ? 2 : 1,
                        startedAt: WallTime(microseconds: Int64(start)),
                        runTime: .microseconds(runTime), failure: failure)))
        }
        data.add(JobID(rawValue: 2_001), .ready)
        return data
    }()

    private static let titles: [JobID: String] = Dictionary(
        uniqueKeysWithValues: data.slowest.map { ($0.id, "gzip -9 ::: 'a file \($0.id) é.tar'") })

    private func lines(columns: Int, _ look: TerminalLook) -> [String] {
        GoldenScreen.withoutClocks(
            ReportText.lines(
                Self.data, subject: "run gzip -9", titles: Self.titles, columns: columns,
                look: look))
    }

    @Test("a report at 80 columns")
    func narrow() {
        GoldenScreen.expect(
            lines(columns: 80, TerminalLook(usesUnicode: true, usesColour: false)),
            are: """
                run gzip -9
                2,001 jobs: 1,982 succeeded, 18 failed, 1 not begun
                YYYY-MM-DD HH:MM:SS to HH:MM:SS, 3m10s, 10.5/s, 2.6 at once, 20 retries

                Rate  ends each second, in parts of 2.8s
                   20.9/s ▂█▆▇▅▇▆▆▆▆▆▅▇█▆▆▆▆
                          ██████████████████
                          ██████████████████▂
                          ███████████████████▆▆▆▆▅▆▆▇▅▅▅▅▆▆▆▅▅▇▅▆▇▅▅▅▆▅▆▇▆▅▆▆▆▅▅▆▅▇▅▆▅▆▅▆▆▅▆▆▆▂
                      0/s █████████████████████████████████████████████████████████████████████
                          HH:MM:SS                                                     HH:MM:SS

                Run time  of the last attempt of each job
                  p50 242ms   p90 401ms   p95 418ms   p99 434ms   longest 7.3s   average 251ms
                    20ms – 50ms     ██▌                                                60   3.0%
                    50ms – 100ms    ██████████▉                                       265  13.3%
                   100ms – 200ms    █████████████████████▊                            529  26.5%
                   200ms – 500ms    ███████████████████████████████████████████████ 1,142  57.1%
                   500ms – 1.0s                                                         0   0.0%
                    1.0s – 2.0s                                                         0   0.0%
                    2.0s – 5.0s                                                         0   0.0%
                    5.0s – 10s      ▏                                                   4   0.2%

                Slowest  petiole show ID tells all of one
                    1004    7.3s  succeeded  gzip -9 ::: 'a file 1004 é.tar'
                       4    7.2s  succeeded  gzip -9 ::: 'a file 4 é.tar'
                    1504    7.2s  succeeded  gzip -9 ::: 'a file 1504 é.tar'
                     504    7.1s  succeeded  gzip -9 ::: 'a file 504 é.tar'

                Failures  of one kind when they differ in numbers alone
                      12  ee05e1768c4dc6a2  job 117   it exited with status 1
                       6  5f15fd7134141565  job 6     it was ended by signal 9
                  petiole log 117 prints one; petiole requeue --fingerprint F runs a kind again
                """)
    }

    @Test("a report at 120 columns")
    func wide() {
        GoldenScreen.expect(
            lines(columns: 120, TerminalLook(usesUnicode: true, usesColour: false)),
            are: """
                run gzip -9
                2,001 jobs: 1,982 succeeded, 18 failed, 1 not begun
                YYYY-MM-DD HH:MM:SS to HH:MM:SS, 3m10s, 10.5/s, 2.6 at once, 20 retries

                Rate  ends each second, in parts of 1.7s
                   21.4/s  ▇█▆▄▅█▃█▄▅▆▇▄▃▇▄▇▂▆█▇▅▄▆▅▆▅
                          ▅███████████████████████████▄
                          █████████████████████████████
                          █████████████████████████████▇▆▅▅▆▆▆▄▅▅▅▅▇▅▅▅▅▆▄▅▆▆▅▅▆▅▄▅▇▄▅▅▇▆▅▅▅▅▅▆▅▅▅▆▇▄▆▄▆▆▅▆▅▅▅▆▅▆▄▅▇▅▄▆▆▄▇▅▄▆▅▆▅▅▅▆▆▄▆▁
                      0/s █████████████████████████████████████████████████████████████████████████████████████████████████████████████
                          HH:MM:SS                                                                                             HH:MM:SS

                Run time  of the last attempt of each job
                  p50 242ms   p90 401ms   p95 418ms   p99 434ms   longest 7.3s   average 251ms
                    20ms – 50ms     ████▋                                                                                      60   3.0%
                    50ms – 100ms    ████████████████████▎                                                                     265  13.3%
                   100ms – 200ms    ████████████████████████████████████████▎                                                 529  26.5%
                   200ms – 500ms    ███████████████████████████████████████████████████████████████████████████████████████ 1,142  57.1%
                   500ms – 1.0s                                                                                                 0   0.0%
                    1.0s – 2.0s                                                                                                 0   0.0%
                    2.0s – 5.0s                                                                                                 0   0.0%
                    5.0s – 10s      ▎                                                                                           4   0.2%

                Slowest  petiole show ID tells all of one
                    1004    7.3s  succeeded  gzip -9 ::: 'a file 1004 é.tar'
                       4    7.2s  succeeded  gzip -9 ::: 'a file 4 é.tar'
                    1504    7.2s  succeeded  gzip -9 ::: 'a file 1504 é.tar'
                     504    7.1s  succeeded  gzip -9 ::: 'a file 504 é.tar'

                Failures  of one kind when they differ in numbers alone
                      12  ee05e1768c4dc6a2  job 117   it exited with status 1
                       6  5f15fd7134141565  job 6     it was ended by signal 9
                  petiole log 117 prints one; petiole requeue --fingerprint F runs a kind again
                """)
    }

    @Test("a report where letters are not UTF-8")
    func ascii() {
        let lines = lines(columns: 80, TerminalLook(usesUnicode: false, usesColour: false))
        #expect(lines.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } })
        GoldenScreen.expect(
            lines,
            are: """
                run gzip -9
                2,001 jobs: 1,982 succeeded, 18 failed, 1 not begun
                YYYY-MM-DD HH:MM:SS to HH:MM:SS, 3m10s, 10.5/s, 2.6 at once, 20 retries

                Rate  ends each second, in parts of 2.8s
                   20.9/s .#################
                          ##################
                          ##################.
                          ####################################################################.
                      0/s #####################################################################
                          HH:MM:SS                                                     HH:MM:SS

                Run time  of the last attempt of each job
                  p50 242ms   p90 401ms   p95 418ms   p99 434ms   longest 7.3s   average 251ms
                    20ms - 50ms     ###                                                60   3.0%
                    50ms - 100ms    ###########                                       265  13.3%
                   100ms - 200ms    ######################                            529  26.5%
                   200ms - 500ms    ############################################### 1,142  57.1%
                   500ms - 1.0s                                                         0   0.0%
                    1.0s - 2.0s                                                         0   0.0%
                    2.0s - 5.0s                                                         0   0.0%
                    5.0s - 10s      #                                                   4   0.2%

                Slowest  petiole show ID tells all of one
                    1004    7.3s  succeeded  gzip -9 ::: 'a file 1004 ?.tar'
                       4    7.2s  succeeded  gzip -9 ::: 'a file 4 ?.tar'
                    1504    7.2s  succeeded  gzip -9 ::: 'a file 1504 ?.tar'
                     504    7.1s  succeeded  gzip -9 ::: 'a file 504 ?.tar'

                Failures  of one kind when they differ in numbers alone
                      12  ee05e1768c4dc6a2  job 117   it exited with status 1
                       6  5f15fd7134141565  job 6     it was ended by signal 9
                  petiole log 117 prints one; petiole requeue --fingerprint F runs a kind again
                """)
    }

    @Test("no line is wider than the terminal, and colours add nothing to be seen")
    func widths() {
        for columns in [60, 80, 97, 120, 160] {
            let plain = ReportText.lines(
                Self.data, subject: String(repeating: "long ", count: 60), titles: Self.titles,
                columns: columns, look: TerminalLook(usesUnicode: true, usesColour: false))
            for line in plain { #expect(CellWidth.of(line) <= columns, "\(line)") }
            let coloured = ReportText.lines(
                Self.data, subject: String(repeating: "long ", count: 60), titles: Self.titles,
                columns: columns, look: TerminalLook(usesUnicode: true, usesColour: true))
            #expect(coloured.map { $0.replacing(/\u{1B}\[[0-9]+m/, with: "") } == plain)
        }
    }

    @Test("of very many kinds of failures a bounded number is kept, and the others are counted")
    func kinds() {
        var data = ReportData(slowLimit: 0)
        func word(_ number: Int) -> String {
            String(
                String(number).map {
                    Character(UnicodeScalar(UInt8(ascii: "a") + UInt8($0.wholeNumberValue!)))
                })
        }
        for number in 0..<3_000 {
            data.add(
                JobID(rawValue: UInt64(number + 1)),
                .ended(
                    Outcome(
                        kind: .failed, attempt: 1, startedAt: WallTime(microseconds: 0),
                        runTime: .zero, failure: JobFailure(type: "E", message: word(number)))))
        }
        #expect(data.failures.count == 1_000 && data.otherFailures == 2_000)
    }
}

@Suite("petiole report", .ownThreads) struct ReportTests {
    let tool = Tool()

    @Test("it is about the newest run, or what is asked for")
    func subjects() throws {
        #expect(try tool.run("report").status == 66)
        _ = try tool.run("add", "--", "sh", "-c", "exit 3")
        _ = try tool.run("worker", "--drain")
        #expect(
            try tool.run("report").output.hasPrefix("all queues\n1 job: 0 succeeded, 1 failed\n"))
        _ = try tool.run("run", "true", ":::", "a", "b")
        _ = try tool.run("run", "echo {}", ":::", "c")
        #expect(try tool.run("report").output.hasPrefix("run 'echo {}'\n1 job: 1 succeeded\n"))
        let commands = try tool.run("report", "--queue", "commands")
        #expect(commands.output.contains("it exited with status 3"))
        #expect(try tool.run("report", "--all").output.contains("4 jobs: 3 succeeded, 1 failed"))
        #expect(try tool.run("report", "--queue", "none").status == 66)
        #expect(try tool.run("report", "--all", "--queue", "commands").status == 64)
        let json = try tool.run("report", "--json", "--all").output
        #expect(
            json.hasPrefix(
                #"{"v":1,"queue":null,"run":null,"jobs":4,"succeeded":3,"failed":1,"dead":0,"#))
        #expect(json.contains(#""count":1,"example":1,"error":"it exited with status 3"}"#))
    }

    @Test("a terminal's width is used")
    func terminal() throws {
        _ = try tool.run("run", "true", ":::", "a", "b", "c")
        for columns in [80, 120] {
            let terminal = try PseudoTerminal(
                [Tool.path, "report"], in: tool.folder, rows: 40, columns: columns)
            #expect(try terminal.end() == 0)
            #expect(terminal.screen.wrapCount == 0 && terminal.screen.unknown == [])
            #expect(terminal.screen.lines.contains { $0.count > columns - 3 })
        }
    }
}
