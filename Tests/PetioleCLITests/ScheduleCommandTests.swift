import Foundation
import Petiole
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole schedule", .ownThreads) struct ScheduleCommandTests {
    private let tool = Tool()

    /// The object of each line.
    private func objects(_ end: Tool.End) throws -> [[String: Any]] {
        try end.lines.map { line in
            try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)"
            )
        }
    }

    /// What `list --json` prints of one.
    private func schedule(_ name: String) throws -> [String: Any] {
        let all = try objects(try tool.run("schedule", "list", "--json"))
        return try #require(all.first { $0["name"] as? String == name })
    }

    // MARK: Preview

    @Test("preview prints the rule in words and its coming times, without a store")
    func preview() throws {
        let end = try tool.run(
            "schedule", "preview", "30 2 * * *", "--zone", "Europe/Berlin", "--from",
            "2026-03-28T00:00Z", "--count", "3")
        #expect(end.status == 0)
        #expect(
            end.output == """
                at 02:30 every day, Europe/Berlin
                Sat 2026-03-28 02:30:00 +01:00
                Sun 2026-03-29 03:00:00 +02:00
                Mon 2026-03-30 02:30:00 +02:00

                """)
        let json = try tool.run(
            "schedule", "preview", "@every 90m", "--zone", "Asia/Kathmandu", "--from",
            "2026-01-01Z",
            "--count", "2", "--json")
        #expect(
            json.output == """
                {"v":1,"planned":"2026-01-01T00:15:00.000000Z","local":"2026-01-01T06:00:00+05:45"}
                {"v":1,"planned":"2026-01-01T01:45:00.000000Z","local":"2026-01-01T07:30:00+05:45"}

                """)
        #expect(!tool.exists(".petiole"))
    }

    @Test("a rule that cannot be read is shown with a mark below the character")
    func unreadable() throws {
        let end = try tool.run("schedule", "preview", "*/5 0 * 13 *")
        #expect(end.status == 64)
        #expect(
            end.errorOutput == """
                petiole: the rule cannot be read:
                         */5 0 * 13 *
                                 ^ a month is 1 to 12 or jan to dec

                """)
        for rule in ["@every", "@every 0s", "@every 5x", "0 0 30 2 *", ""] {
            let end = try tool.run("schedule", "preview", rule)
            #expect(end.status == 64 && !end.errorOutput.isEmpty && end.output.isEmpty, "\(rule)")
        }
        let zone = try tool.run("schedule", "preview", "@daily", "--zone", "Europe/Nowhere")
        #expect(
            zone.status == 64 && zone.errorOutput.contains("the system has no zone of that name"))
        #expect(try tool.run("schedule", "preview", "@daily", "--count", "0").status == 64)
    }

    @Test("an instant without Z is told by the clocks of the zone")
    func zoneOfFrom() throws {
        let end = try tool.run(
            "schedule", "preview", "@daily", "--zone", "Asia/Kathmandu", "--from", "2026-01-01",
            "--count", "1")
        #expect(end.lines.last == "Fri 2026-01-02 00:00:00 +05:45")
    }

    // MARK: Add

    @Test("add prints the rule in words and the first planned time, by the clocks of the zone")
    func adds() throws {
        let cron = try tool.run(
            "schedule", "add", "nightly", "--cron", "0 3 * * 1-5", "--zone", "Europe/Berlin",
            "--start", "2998-01-01T03:01", "--exclude", "2998-01-02", "--", "true")
        #expect(
            cron.output == """
                nightly: at 03:00 on Monday to Friday, Europe/Berlin; first Wed 2998-01-03 03:00:00 +01:00

                """)
        #expect(
            cron.errorOutput == """
                petiole: no process runs the queue "commands" now: no job of the schedule runs until one does
                         start one with: petiole worker

                """)
        let once = try tool.run(
            "schedule", "add", "--queue", "q", "--at", "2999-12-24T18:00", "--zone",
            "Europe/Berlin", "once", "--store", ".petiole", "--", "true")
        #expect(
            once.output
                == "once: once, at 2999-12-24T17:00:00Z, Europe/Berlin; first Tue 2999-12-24 18:00:00 +01:00\n"
        )
        #expect(once.errorOutput.contains("petiole worker --queue q --store .petiole\n"))
        let every = try tool.run(
            "schedule", "add", "each", "--every", "90m", "--on-the-clock", "--zone", "UTC",
            "--start", "2998-01-01Z", "--", "true")
        #expect(every.output.hasPrefix("each: every 1 h 30 min by the clock, UTC; first Mon 2998"))
        let macro = try tool.run(
            "schedule", "add", "macro", "--cron", "@every 15m", "--zone", "UTC", "--", "true")
        #expect(macro.output.hasPrefix("macro: every 15 min by the clock, UTC; first "))
        let json = try tool.run(
            "schedule", "add", "json", "--cron", "*/20 0 0 1 1 *", "--seconds", "--json", "--",
            "true")
        let object = try #require(try objects(json).first)
        #expect(json.output.hasPrefix(#"{"v":1,"name":"json","state":"on","program":null,"#))
        #expect(object["rule"] as? String == "*/20 0 0 1 1 *" && object["next"] is String)
    }

    @Test(
        "a schedule that cannot be is refused with the next step, and no store is made for it",
        arguments: [
            ["x", "--", "true"], ["x", "--cron", "@daily", "--every", "1h", "--", "true"],
            ["x", "--cron", "0 3 * *", "--", "true"], ["x", "--every", "0s", "--", "true"],
            ["x", "--every", "often", "--", "true"], ["x", "--at", "tomorrow", "--", "true"],
            ["x", "--every", "1h", "--seconds", "--", "true"],
            ["x", "--cron", "@daily", "--on-the-clock", "--", "true"],
            ["x", "--cron", "@daily", "--zone", "Europe/Nowhere", "--", "true"],
            ["x", "--cron", "@daily", "--exclude", "2026-02-30", "--", "true"],
            ["x", "--cron", "@daily", "--jitter", "-5m", "--", "true"],
            ["x", "--cron", "@daily", "--missed", "some", "--", "true"],
            ["x", "--cron", "@daily", "--missed-most", "5", "--", "true"],
            ["x", "--cron", "@daily", "--missed", "all", "--missed-most", "0", "--", "true"],
            ["x", "--cron", "@daily", "--overlap", "no", "--", "true"],
            ["x", "--cron", "@daily", "--expires", "0s", "--", "true"],
            ["x", "--cron", "@daily", "--priority", "10", "--", "true"],
            ["x", "--cron", "@daily", "--start", "soon", "--", "true"],
            ["x", "--cron", "@daily"], ["x", "--cron", "@daily", "true"],
            ["--cron", "@daily", "--", "true"], ["a b", "--cron", "@daily", "--", "true"],
        ])
    func refuses(arguments: [String]) throws {
        let words = ["schedule", "add"] + arguments
        let end = try tool.run(bytes: words.map { Array($0.utf8) })
        #expect(end.status == 64 && end.output == "" && end.errorOutput.contains("\n"))
        #expect(!tool.exists(".petiole"))
    }

    @Test("what never comes is refused, and a rule is shown with a mark below the character")
    func neverComes() throws {
        let past = try tool.run("schedule", "add", "x", "--at", "2001-01-01Z", "--", "true")
        #expect(past.status == 64)
        #expect(past.errorOutput.contains("2001-01-01T00:00:00Z never comes true"))
        let ended = try tool.run(
            "schedule", "add", "x", "--every", "1d", "--end", "1h", "--", "true")
        #expect(ended.status == 64 && ended.errorOutput.contains("every 1 d never comes true"))
        let rule = try tool.run("schedule", "add", "x", "--cron", "*/5 0 * 13 *", "--", "true")
        #expect(rule.status == 64)
        #expect(
            rule.errorOutput.hasSuffix("\n                 ^ a month is 1 to 12 or jan to dec\n"))
        #expect(try tool.run("schedule", "list").output == "no schedules\n")
    }

    @Test("a name that is taken is refused; with --replace the new one takes its place")
    func replaces() throws {
        func add(_ rest: String...) throws -> Tool.End {
            let words = ["schedule", "add", "poll", "--zone", "UTC"] + rest
            return try tool.run(bytes: words.map { Array($0.utf8) })
        }
        #expect(try add("--every", "1h", "--", "echo", "old").status == 0)
        let taken = try add("--every", "2h", "--", "echo", "new")
        #expect(taken.status == 75 && taken.errorOutput.contains("--replace"))
        #expect(try tool.run("schedule", "run-now", "poll").output == "1\n")
        #expect(try tool.run("schedule", "pause", "poll").status == 0)
        let placed = try add("--every", "2h", "--replace", "--", "echo", "new")
        #expect(placed.status == 0 && placed.output.hasPrefix("poll: every 2 h, UTC; first "))
        #expect(placed.errorOutput.contains("petiole schedule resume poll"))
        let after = try schedule("poll")
        #expect(after["arguments"] as? [String] == ["echo", "new"])
        #expect(after["fired"] as? Int == 1 && after["state"] as? String == "paused")
    }

    // MARK: List and show

    @Test("show prints all that a schedule was given, and its coming times")
    func shows() throws {
        let added = try tool.run(
            "schedule", "add", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin",
            "--start", "2998-03-24", "--end", "2998-04-02T12:00", "--exclude", "2998-03-27",
            "--exclude", "2998-03-25", "--jitter", "90s", "--missed", "all", "--missed-most",
            "1000", "--overlap", "queue", "--queue", "q", "--priority", "2", "--retries", "3",
            "--timeout", "90s", "--hard-timeout", "2m", "--tag", "a", "--tag", "b", "--env",
            "ONE=1", "--env", "none", "--expires", "1h", "--", "sh", "-c", "echo hi")
        #expect(added.status == 0)
        let shown = try tool.run("schedule", "show", "nightly", "--count", "3")
        #expect(
            shown.output == """
                schedule   nightly
                state      on
                rule       30 2 * * *
                           at 02:30 every day
                zone       Europe/Berlin
                start      Sat 2998-03-24 00:00:00 +01:00
                end        Mon 2998-04-02 12:00:00 +02:00
                excluded   2998-03-25, 2998-03-27
                jitter     up to 1 min 30 s later
                missed     all: each is enqueued, the newest 1,000 at most
                overlap    queue: one waits for the end of the last job, others are left out
                queue      q, priority 2
                attempts   4 at most
                timeout    stopped after 1 min 30 s
                timeout    killed after 2 min
                expires    1 h after each enqueue
                tags       a, b
                command    sh -c 'echo hi'
                in         \(tool.folder)
                with       ONE
                times      0 fired, 0 missed, 0 skipped
                next       Sat 2998-03-24 02:30:00 +01:00
                planned    Sat 2998-03-24 02:30:00 +01:00
                           Mon 2998-03-26 02:30:00 +02:00
                           Wed 2998-03-28 02:30:00 +02:00

                """)
        let json = try tool.run("schedule", "show", "nightly", "--count", "20", "--json")
        let object = try #require(try objects(json).first)
        let times = try #require(object["times"] as? [[String: String]])
        #expect(times.count == 8)
        #expect(
            times.first == [
                "planned": "2998-03-24T01:30:00.000000Z", "local": "2998-03-24T02:30:00+01:00",
            ])
        #expect(object["end"] as? String == "2998-04-02T10:00:00.000000Z")
        #expect(object["excluded"] as? [String] == ["2998-03-25", "2998-03-27"])
        #expect(object["jitterMicroseconds"] as? Int == 90_000_000)
        #expect(object["whenMissed"] as? String == "all" && object["missedMost"] as? Int == 1_000)
        #expect(object["overlap"] as? String == "queue" && object["priority"] as? Int == 2)
        #expect(object["arguments"] as? [String] == ["sh", "-c", "echo hi"])
        #expect(object["missedLaterThanMicroseconds"] is NSNull && object["lastJob"] is NSNull)
        let missing = try tool.run("schedule", "show", "nightyl")
        #expect(missing.status == 66 && missing.errorOutput.contains("petiole schedule list"))
        #expect(try tool.run("schedule", "show", "nightly", "--count", "-1").status == 64)
    }

    @Test("list prints a row each, with the state of the last job, and says whose times they are")
    func lists() throws {
        #expect(try tool.run("add", "--", "true").status == 0)
        #expect(try tool.run("schedule", "list").output == "no schedules\n")
        #expect(try tool.run("schedule", "list", "--json").output == "")
        for (name, command) in [("bad", "false"), ("good", "true"), ("new", "true")] {
            let end = try tool.run("schedule", "add", name, "--every", "400d", "--", command)
            #expect(end.status == 0)
        }
        for name in ["bad", "good"] {
            #expect(try tool.run("schedule", "run-now", name).status == 0)
        }
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(try tool.run("schedule", "pause", "new").status == 0)
        let lines = try tool.run("schedule", "list").lines
        try #require(lines.count == 5)
        let rows = lines.map { $0.split(separator: #/ {2,}/#).map(String.init) }
        #expect(
            rows[0] == [
                "name", "state", "next", "last", "outcome", "fired", "missed", "skipped", "rule",
                "job",
            ])
        #expect(rows[1].prefix(2) == ["bad", "on"])
        #expect(rows[1].suffix(6) == ["failed", "1", "0", "0", "every 400 d", "false"])
        #expect(rows[2].suffix(6) == ["succeeded", "1", "0", "0", "every 400 d", "true"])
        #expect(rows[3] == ["new", "paused", "-", "-", "-", "0", "0", "0", "every 400 d", "true"])
        #expect(lines[4].hasPrefix("times are those of "))
        #expect(try schedule("bad")["lastState"] as? String == "failed")
        #expect(try schedule("new")["lastState"] is NSNull)
        #expect(try tool.run("prune", "--older-than", "0s").status == 0)
        let pruned = try schedule("bad")
        #expect(pruned["lastState"] is NSNull && pruned["lastJob"] as? Int == 2)
        #expect(try tool.run("schedule", "show", "bad").output.contains(", job 2: pruned since\n"))
    }

    // MARK: Changes

    @Test("pause, resume and remove change each that there is, and fail for those there are not")
    func changes() throws {
        for name in ["a", "b"] {
            let end = try tool.run(
                "schedule", "add", name, "--zone", "UTC", "--at", "2999-01-01", "--", "true")
            #expect(end.status == 0)
        }
        let paused = try tool.run("schedule", "pause", "a", "x", "b", "y")
        #expect(paused.status == 66 && paused.output == "a is paused\nb is paused\n")
        #expect(paused.errorOutput.contains(#""x""#) && paused.errorOutput.contains(#""y""#))
        #expect(try tool.run("schedule", "pause", "a").output == "a was paused already\n")
        #expect(
            try tool.run("schedule", "show", "a").output.contains(
                "state      paused: it goes on with `petiole schedule resume a`\n"))
        #expect(
            try tool.run("schedule", "resume", "a").output
                == "a is on, next Tue 2999-01-01 00:00:00 +00:00\n")
        let resumed = try tool.run("schedule", "resume", "--json", "a", "b", "x")
        #expect(resumed.status == 66)
        #expect(
            resumed.output == """
                {"v":1,"name":"a","result":"unchanged"}
                {"v":1,"name":"b","result":"resumed"}
                {"v":1,"name":"x","result":"missing"}

                """)
        #expect(try tool.run("schedule", "resume", "a").output == "a was not paused\n")
        #expect(
            try tool.run("schedule", "remove", "x", "a", "--json").output
                == #"{"v":1,"name":"x","result":"missing"}"# + "\n"
                + #"{"v":1,"name":"a","result":"removed"}"# + "\n")
        #expect(try tool.run("schedule", "remove", "b").output == "b is removed\n")
        #expect(try tool.run("schedule", "list").output == "no schedules\n")
    }

    @Test(
        "each command has examples in its help, wants a name, and says when there is none such",
        arguments: ["pause", "resume", "remove", "run-now", "show"])
    func missing(command: String) throws {
        #expect(try tool.run("schedule", command, "x").errorOutput.contains("there is no store"))
        #expect(try tool.run("add", "--", "true").status == 0)
        let missing = try tool.run("schedule", command, "x")
        #expect(missing.status == 66 && missing.errorOutput.contains(#"no schedule "x""#))
        #expect(try tool.run("schedule", command).status == 64)
        #expect(try tool.run("schedule", command, "--help").output.contains("EXAMPLES"))
    }

    @Test("run-now enqueues the job with this instant as its planned time, which show tells")
    func runsNow() throws {
        let added = try tool.run(
            "schedule", "add", "poll", "--every", "400d", "--overlap", "skip", "--", "sh", "-c",
            "printf '%s %s' \"$PETIOLE_SCHEDULE\" \"$PETIOLE_PLANNED\"")
        #expect(added.status == 0)
        let next = try schedule("poll")["next"] as? String
        let end = try tool.run("schedule", "run-now", "poll")
        #expect(
            end.output == "1\n" && end.errorOutput.contains("start one with: petiole worker\n"))
        let again = try tool.run("schedule", "run-now", "poll")
        #expect(again.status == 75 && again.errorOutput.contains("job 1 of the schedule"))
        #expect(try tool.run("worker", "--drain").status == 0)
        let job = try #require(try objects(try tool.run("show", "1", "--json")).first)
        #expect(job["schedule"] as? String == "poll")
        let planned = try #require(job["planned"] as? String)
        let written = try #require(job["stdout"] as? String)
        #expect(written.hasPrefix("poll \(planned.prefix(19))") && written.hasSuffix("Z"))
        #expect(try tool.run("show", "1").output.contains("\nschedule   poll, planned 20"))
        #expect(
            try tool.run("schedule", "run-now", "poll", "--json").output
                == #"{"v":1,"id":2,"name":"poll","queue":"commands"}"# + "\n")
        let after = try schedule("poll")
        #expect(after["next"] as? String == next && after["fired"] as? Int == 2)
        #expect(try tool.run("add", "--", "true").output == "3\n")
        #expect(!(try tool.run("show", "3", "--json").output.contains(#""schedule""#)))
    }

    @Test("a schedule that a program declares names it, and is paused here, but not removed")
    func declared() async throws {
        func runShop(_ schedules: [Schedule]) async throws {
            try await tool.withStore { store in
                var options = JobRunner.Options()
                options.workers = 1
                options.program = "shop"
                options.schedules = schedules
                try await JobRunner(store, jobs: [Make.self], options: options).run {}
            }
        }
        try await runShop([.every(.seconds(400 * 86_400), job: Make(number: 7), name: "rare")])
        #expect(try tool.run("schedule", "list").lines[1].hasSuffix("every 400 d  Make of shop"))
        let shown = try tool.run("schedule", "show", "rare").output
        #expect(shown.contains("program    shop\n") && shown.contains("name       Make\n"))
        let removed = try tool.run("schedule", "remove", "--json", "x", "rare")
        #expect(removed.status == 66 && removed.errorOutput.contains("declares the schedule"))
        #expect(removed.output.contains(#"{"v":1,"name":"rare","result":"declared"}"#))
        #expect(try tool.run("schedule", "remove", "rare").status == 75)
        let taken = try tool.run(
            "schedule", "add", "rare", "--replace", "--cron", "@daily", "--", "true")
        #expect(taken.status == 75 && taken.errorOutput.contains("give this one another name"))
        #expect(try tool.run("schedule", "pause", "rare").output == "rare is paused\n")
        let ran = try tool.run("schedule", "run-now", "rare")
        #expect(ran.output == "1\n" && ran.errorOutput.contains(#"start the program "shop""#))
        try await runShop([])
        let after = try schedule("rare")
        #expect(after["state"] as? String == "disabled" && after["program"] as? String == "shop")
        #expect(after["lastState"] as? String == "succeeded")
        #expect(try tool.run("schedule", "remove", "rare").output == "rare is removed\n")
    }

    @Test("of a rule that is a program's own the coming times are not known, and it is not over")
    func ownRule() async throws {
        try await tool.withStore { store in
            var options = JobRunner.Options()
            options.workers = 1
            options.program = "shop"
            let far = WallTime(microseconds: 32_472_144_000_000_000)
            options.schedules = [
                Schedule(Make(number: 7), .own { $0 < far ? far : nil }, in: "UTC", name: "own")
            ]
            try await JobRunner(store, jobs: [Make.self], options: options).run {}
        }
        let shown = try tool.run("schedule", "show", "own")
        #expect(shown.status == 0 && shown.output.contains("next       Tue 2999-01-01"))
        #expect(shown.errorOutput.contains("its planned times are not known"))
        #expect(try tool.run("schedule", "pause", "own").status == 0)
        #expect(try tool.run("schedule", "resume", "own").output == "own is on\n")
        #expect(try schedule("own")["over"] as? Bool == false)
    }

    // MARK: With a worker

    @Test("a worker runs the command at its planned times, and none of a paused schedule any more")
    func fires() throws {
        #expect(try tool.run("add", "--", "true").status == 0)
        let worker = try tool.start(["worker", "--verbose"])
        func ended(_ job: Int) throws {
            _ = try worker.line(beginning: "petiole: job \(job) succeeded", inErrors: true)
        }
        // From here on it runs the queue.
        try ended(1)
        let added = try tool.run(
            "schedule", "add", "poll", "--every", "1s", "--", "sh", "-c",
            "echo \"$PETIOLE_SCHEDULE $PETIOLE_PLANNED\" >> planned")
        #expect(added.status == 0 && added.errorOutput == "")
        try ended(3)
        #expect(try tool.run("schedule", "pause", "poll").output == "poll is paused\n")
        let paused = try schedule("poll")
        let fired = try #require(paused["fired"] as? Int)
        #expect(fired >= 2 && paused["next"] is NSNull)
        let last = 1 + fired
        for job in 2...last { try ended(job) }
        let times = tool.read("planned").split(separator: "\n")
        #expect(times.count == fired)
        #expect(Set(times).count == fired && times.allSatisfy { $0.hasPrefix("poll 20") })
        for job in 2...last {
            let shown = try #require(try objects(try tool.run("show", "\(job)", "--json")).first)
            let planned = try #require(shown["planned"] as? String)
            #expect(shown["schedule"] as? String == "poll")
            #expect(times.contains { $0.hasPrefix("poll \(planned.prefix(19))") })
        }
        // Another one goes on: what comes meanwhile is of that one alone.
        #expect(
            try tool.run("schedule", "add", "tick", "--every", "1s", "--", "true").status == 0)
        try ended(last + 2)
        for job in [last + 1, last + 2] {
            let shown = try tool.run("show", "\(job)", "--json").output
            #expect(shown.contains(#""schedule":"tick""#))
        }
        #expect(try schedule("poll")["fired"] as? Int == fired)
        #expect(try tool.run("schedule", "remove", "tick").status == 0)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
        #expect(tool.read("planned").split(separator: "\n").count == fired)
    }

    @Test("one that comes once is over when it has come; of a paused queue the next step is said")
    func once() throws {
        let added = try tool.run("schedule", "add", "once", "--at", "3s", "--", "true")
        #expect(added.status == 0)
        let worker = try tool.start(["worker", "--verbose"])
        _ = try worker.line(beginning: "petiole: job 1 succeeded", inErrors: true)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
        let after = try schedule("once")
        #expect(after["state"] as? String == "over" && after["over"] as? Bool == true)
        #expect(after["lastState"] as? String == "succeeded" && after["fired"] as? Int == 1)
        let shown = try tool.run("schedule", "show", "once").output
        #expect(shown.contains("state      over"))
        #expect(!shown.contains("\nplanned    ") && !shown.contains("\nnext       "))
        #expect(try tool.run("pause", "commands").status == 0)
        let next = try tool.run("schedule", "add", "next", "--cron", "@daily", "--", "true")
        #expect(next.errorOutput.contains(#"the queue "commands" is paused"#))
        #expect(next.errorOutput.contains("petiole resume commands\n"))
    }
}
