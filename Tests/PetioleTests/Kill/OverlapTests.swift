#if os(Linux)
    import Foundation
    import Testing

    @testable import Petiole

    /// What a command of the test is: it holds a lock of its job's for as long as any process of it lives, and says in
    /// the log when it found the lock held.
    private enum Habit: String, CaseIterable {
        /// Ends at SIGTERM.
        case plain
        /// Takes its time to end.
        case slow
        /// Does its work in a session of its own, where no signal to the group reaches it.
        case session
        /// Has to be killed.
        case stubborn

        var script: String {
            let body =
                """
                exec 9>"$0/lock-$1"
                flock -n 9 || echo "overlap $1" >>"$0/log"
                echo "start $1" >>"$0/log"
                \(trap)
                test -e "$0/met" || { : >"$0/met"; echo >"$0/ready"; sleep 1000; }
                for step in 1 2 3 4; do sleep 0.02; done
                echo "end $1" >>"$0/log"
                """
            return self == .session ? "exec setsid -w sh -c '\(body)' \"$0\" \"$1\"" : body
        }

        private var trap: String {
            switch self {
            case .plain, .session: ":"
            case .slow: "trap \"sleep 0.05; exit 1\" TERM"
            case .stubborn: "trap \"\" TERM"
            }
        }
    }

    @Suite("Overlap", .timeLimit(.minutes(10))) struct OverlapTests {
        @Test(
            "two attempts of a command do not overlap, however often its runner is killed",
            arguments: [UInt64(1), 2])
        func commands(seed: UInt64) async throws {
            var random = SeededRandom(seed)
            let directory = try TestDirectory()
            defer { directory.remove() }
            var habits = (0..<12).map { _ in
                [Habit.plain, .slow, .session].randomElement(using: &random)!
            }
            // A second each time that it is met: one is enough.
            habits[Int.random(in: 0..<4, using: &random)] = .stubborn
            let store = try directory.open()
            _ = try await store.enqueue(
                commands: habits.enumerated().map { index, habit in
                    JobStore.CommandRequest(
                        command: try Command("sh", "-c", habit.script, directory.path, "\(index)"))
                }, options: EnqueueOptions())
            store.close()
            // The first kill meets a command that runs, for sure: the first waits for it.
            let ready = directory.path + "/ready"
            try #require(mkfifo(ready, 0o600) == 0)
            let first = try Child(["commands", directory.store, "1", "drain"])
            _ = try await onThread("test-ready") { try readFIFO(ready) }
            first.kill()
            try await first.end()
            // Some 20 ms pass before the first command starts, and 80 while one runs: the kill comes before, between, or
            // while two run; then the next owner has up to a second and a half to be killed in while it takes over.
            for _ in 0..<10 {
                let child = try Child(["commands", directory.store, "2", "drain"])
                try await child.kill(
                    after: .milliseconds(
                        Bool.random(using: &random)
                            ? Int.random(in: 20...140, using: &random)
                            : Int.random(in: 20...400, using: &random)))
                try await child.end()
            }
            #expect(try await Child(["commands", directory.store, "2", "drain"]).end() == .exit(0))

            let log = try String(contentsOfFile: directory.path + "/log", encoding: .utf8)
                .split(separator: "\n").map { $0.split(separator: " ") }
            #expect(log.filter { $0[0] == "overlap" } == [])
            for index in habits.indices {
                #expect(log.contains { $0[0] == "end" && $0[1] == "\(index)" })
            }
            let starts = log.count { $0[0] == "start" }
            #expect(starts > habits.count, "no kill met a command that ran")
            let reopened = try directory.open()
            defer { reopened.close() }
            #expect(try reopened.counts().succeeded == habits.count)
            expectSound(reopened)
        }
    }
#endif
