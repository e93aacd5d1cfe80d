import Foundation
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Commands of the tool", .ownThreads) struct CommandTests {
    let tool = Tool()

    #if os(Linux)
        @Test("to a terminal lines are shown that end as those of DOS")
        func linesOfDOS() throws {
            #expect(try tool.run("add", "--", "printf", #"a\tb\r\n\033c\r\n"#).status == 0)
            #expect(try tool.run("worker", "--drain").status == 0)
            let terminal = try OutputTerminal()
            #expect(
                try tool.start(shell: "exec \(Tool.path) show 1 > \(terminal.path)").end().status
                    == 0)
            #expect(terminal.text().contains(":\n  a\tb\n  \\u{1b}c\n"))
        }
    #endif

    @Test("what is added is run by a worker, and shown with its output")
    func addAndWork() throws {
        #expect(
            try tool.run("add", "--", "sh", "-c", "echo hi; echo oh >&2; exit 3").output == "1\n")
        #expect(try tool.run("jobs").output.contains("ready"))
        let worker = try tool.run("worker", "--drain")
        #expect(worker.status == 0)
        #expect(worker.errorOutput.contains("job 1 failed: it exited with status 3"))
        let shown = try tool.run("show", "1").output
        #expect(shown.contains("state      failed"))
        #expect(shown.contains("stdout, 3 bytes:\nhi\n"))
        #expect(shown.contains("stderr, 3 bytes:\noh\n"))
        #expect(try tool.run("show", "--stdout", "1").output == "hi\n")
        let json = try tool.run("show", "--json", "1").output
        #expect(json.hasPrefix(#"{"v":1,"id":1,"state":"failed","queue":"commands""#))
        #expect(json.contains(#""exit":3,"stdout":"hi\n","stderr":"oh\n""#))
    }

    @Test(
        "working directory and arguments are kept byte for byte, of the environment what is documented"
    )
    func kept() throws {
        tool.makeFolder("a b")
        let line =
            "cd 'a b' && \(Tool.path) add --store ../s --env ONE=1 --env NONE -- /bin/sh -c"
            + " 'pwd; printf \"%s\\n\" \"$1\"; env' - \"$(printf 'x\\377 y')\""
        #expect(try tool.start(shell: line).end().output == "1\n")
        _ = try tool.run("worker", "--drain", "--store", "s")
        let end = try tool.start(
            shell: "\(Tool.path) show --store s --stdout 1 | od -An -c | tr -d ' \\n'"
        ).end()
        #expect(end.output.contains("ab\\nx377"))
        let output = try tool.run("show", "--store", "s", "--stdout", "1").output
        #expect(output.contains("\nHOME=\(tool.folder)\n") && output.contains("\nONE=1\n"))
        #expect(!output.contains("SECRET"))
    }

    @Test("a cancelled job never starts, and is said to be cancelled")
    func cancels() throws {
        _ = try tool.run("add", "--", "touch", "ran")
        #expect(try tool.run("cancel", "1").output == "1 cancelled\n")
        #expect(try tool.run("cancel", "1").output == "1 ended\n")
        let missing = try tool.run("cancel", "--json", "7")
        #expect(missing.status == 66)
        #expect(missing.output == #"{"v":1,"id":7,"result":"missing"}"# + "\n")
        _ = try tool.run("worker", "--drain")
        #expect(!tool.exists("ran"))
        #expect(try tool.run("jobs", "--state", "cancelled").output.contains("touch ran"))
    }

    @Test("a running command that is cancelled is stopped, and status names its runner")
    func cancelsRunning() throws {
        mkfifo(tool.file("pipe"), 0o600)
        _ = try tool.run("add", "--", "sh", "-c", "echo up > pipe; exec sleep 600")
        let worker = try tool.start(["worker", "--verbose"])
        // Opens when the command does: from here on it runs.
        _ = tool.read("pipe")
        let status = try tool.run("status", "--json").output
        #expect(status.contains(#""queue":"commands","pid":\#(worker.pid),"#))
        #expect(status.contains(#""running":1,"#) && status.contains(#""longest":{"id":1,"#))
        #expect(try tool.run("cancel", "1").output == "1 stopping\n")
        _ = try worker.line(beginning: "petiole: job 1 was cancelled", inErrors: true)
        worker.send(SIGTERM)
        #expect(worker.end().status == 0)
        #expect(try tool.run("status", "--json").output.contains(#""cancelled":1"#))
    }

    @Test("the store is --store, else PETIOLE_STORE, else the nearest .petiole upward")
    func discovery() throws {
        tool.makeFolder("deep")
        tool.makeFolder("deep/er")
        _ = try tool.run("add", "--", "true")
        let petiole = Tool.path
        func count(_ line: String) throws -> Int {
            try tool.start(shell: line).end().lines.count
        }
        #expect(try count("cd deep/er && \(petiole) jobs --json") == 1)
        #expect(try count("cd deep/er && PETIOLE_STORE=other \(petiole) add -- true") == 1)
        #expect(try count("\(petiole) jobs --json --store deep/er/other") == 1)
        #expect(!tool.exists("deep/er/.petiole"))
        _ = try tool.run("add", "--store", "third", "--", "true")
        #expect(
            try count(
                "PETIOLE_STORE=deep/er/other \(petiole) jobs --json --store third --queue commands")
                == 1)
    }

    @Test("the path of the store is shown without ..", arguments: ["status", "doctor"])
    func shownPath(command: String) throws {
        tool.makeFolder("deep")
        tool.makeFolder("deep/er")
        _ = try tool.run("add", "--", "true")
        for option in ["", "--store ../../.petiole"] {
            let line = "cd deep/er && \(Tool.path) \(command) \(option)"
            let output = try tool.start(shell: line).end().output
            #expect(output.contains("\(tool.folder)/.petiole"))
            #expect(!output.contains(".."))
        }
    }

    @Test("text from outside steers no terminal: control bytes are escaped in what is listed")
    func escapes() throws {
        let bytes = Array("\u{1B}]0;owned\u{07}\u{202E}".utf8)
        _ = try tool.run(bytes: ["add", "--", "echo"].map { Array($0.utf8) } + [bytes])
        _ = try tool.run("worker", "--drain")
        for arguments in [["jobs"], ["show", "1"], ["jobs", "--json"]] {
            let end = try tool.run(bytes: arguments.map { Array($0.utf8) })
            let written = end.output.split(separator: "stdout,")[0]
            #expect(written.utf8.allSatisfy { $0 >= 0x20 || $0 == 0x0A })
            #expect(!written.unicodeScalars.contains("\u{202E}"))
        }
    }

    @Test("jobs are filtered by state, queue and id, and limited")
    func filters() throws {
        for queue in ["a", "b", "a"] { _ = try tool.run("add", "--queue", queue, "--", "true") }
        #expect(try tool.run("jobs", "--json", "--queue", "a").lines.count == 2)
        #expect(try tool.run("jobs", "--json", "--after", "2").lines.count == 1)
        let limited = try tool.run("jobs", "--limit", "1")
        #expect(limited.lines.count == 2)
        #expect(limited.errorOutput.contains("there are more"))
        #expect(try tool.run("jobs", "--state", "failed").output == "no such jobs\n")
    }

    @Test("an empty input is shown as one")
    func emptyInput() throws {
        #expect(try tool.run("run", "echo [{}]", ":::", "").output == "[]\n")
        #expect(try tool.run("run", "echo", ":::", "").output == "\n")
        #expect(try tool.run("jobs").output.contains("'echo [{}]' ::: ''\n"))
        for id in ["1", "2"] {
            #expect(try tool.run("show", id).output.contains("\ninput      ''\n"))
            #expect(try tool.run("show", "--json", id).output.contains(#""input":"""#))
        }
        #expect(
            try tool.run("jobs", "--json").output.components(separatedBy: #","input":"""#).count
                == 3
        )
    }

    @Test(
        "the line of a run is shown as it was given, and is that same run when it is given again",
        arguments: [
            "echo hi", "echo {} hi", "echo hi {}", "echo \"hi {}\"", "echo \"{}\"", "echo '{}'",
            "echo 'hi'{}'x'", "echo 'hi {} x' {} \"{}\"", "echo 'a{}' b{} c{} d{}",
        ])
    func shownLine(line: String) throws {
        _ = try tool.run("run", line, ":::", "a b")
        let row = try #require(try tool.run("jobs").lines.last)
        let shown = try #require(row.firstRange(of: "'echo")).lowerBound
        #expect(
            try tool.run("show", "1").output.contains("\ncommand    \(row[shown...])\n"))
        let again = try tool.start(shell: "\(Tool.path) run \(row[shown...])").end()
        #expect(again.errorOutput.contains("this run is finished: 1 job, all succeeded"))
    }

    @Test("prune deletes what has ended, and nothing else")
    func prunes() throws {
        _ = try tool.run("add", "--", "true")
        _ = try tool.run("worker", "--drain")
        _ = try tool.run("add", "--", "true")
        #expect(try tool.run("prune", "--older-than", "1d").output == "deleted 0 jobs\n")
        #expect(
            try tool.run("prune", "--older-than", "0s", "--json").output == #"{"v":1,"deleted":1}"#
                + "\n")
        #expect(try tool.run("show", "1").status == 66)
        #expect(try tool.run("show", "2").status == 0)
    }

    @Test(
        "doctor calls a sound store whole, and names what is damaged in another, with exit status 1"
    )
    func doctor() throws {
        let inputs = (1...300).map(String.init).joined(separator: "\n")
        _ = try tool.run("run", "echo the payload {}", input: inputs)
        let sound = try tool.run("doctor")
        #expect(sound.status == 0)
        #expect(sound.output.contains("is whole\n300 jobs in "))
        // Changed bytes in values: LMDB would not notice.
        let change = "LC_ALL=C sed -i 's/the payload/The payload/g' .petiole/data.mdb"
        #expect(try tool.start(shell: change).end().status == 0)
        let damaged = try tool.run("doctor")
        #expect(damaged.status == 1)
        #expect(damaged.output.contains("is damaged: "))
        #expect(damaged.output.contains("has a wrong checksum"))
        _ = try tool.start(shell: "truncate -s 20000 .petiole/data.mdb").end()
        let cut = try tool.run("doctor", "--json")
        #expect(cut.status == 1)
        #expect(cut.output.contains(#""verdict":"damaged""#))
        let status = try tool.run("status")
        #expect(status.status == 65)
        #expect(status.errorOutput.contains("is damaged"))
    }

    @Test(
        "doctor and status refuse a store of a newer format, and name a format that is none",
        arguments: ["doctor", "doctor --json", "status"])
    func format(command: String) throws {
        _ = try tool.run("add", "--", "true")
        func change(_ expression: String) throws {
            let line = "LC_ALL=C sed -i 's/\(expression)/' .petiole/data.mdb"
            #expect(try tool.start(shell: line).end().status == 0)
        }
        // The record's first bytes are its mark and the version.
        try change(#"PETL\x01\x00/PETL\x02\x00"#)
        let newer = try tool.start(shell: "\(Tool.path) \(command)").end()
        #expect(newer.status == 65)
        #expect(newer.output == "")
        #expect(newer.errorOutput.contains(" has format 2; this program reads up to 1\n"))
        try change(#"PETL\x02\x00/PETX\x02\x00"#)
        let none = try tool.start(shell: "\(Tool.path) \(command)").end()
        #expect(none.status == (command == "status" ? 65 : 1))
        #expect(
            (none.output + none.errorOutput).contains(
                "the format record is not one of Petiole's"))
    }

    @Test("what failed is requeued by id, by filter, by fingerprint, and runs once more")
    func requeue() throws {
        for file in ["a", "b"] {
            _ = try tool.run("add", "--", "sh", "-c", "test -e \(file) && echo \(file) is there")
        }
        _ = try tool.run("add", "--", "sh", "-c", "exit 3")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(
            try tool.run("requeue", "--all", "--dry-run").output == "3 jobs would run once more\n")
        try tool.write("", to: "a")
        #expect(try tool.run("requeue", "1").output == "1 requeued\n")
        #expect(try tool.run("requeue", "1").output == "1 not ended\n")
        let missing = try tool.run("requeue", "99")
        #expect(missing.status == 66 && missing.errorOutput.contains("no job 99"))
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(try tool.run("show", "1").output.contains("a is there"))
        // As it failed: the exit status is a number, and does not tell failures apart.
        let shown = try tool.run("show", "2", "--json").output
        let key = #""fingerprint":""#
        let fingerprint = String(
            shown[(try #require(shown.range(of: key))).upperBound...].prefix(16))
        try tool.write("", to: "b")
        #expect(
            try tool.run("requeue", "--fingerprint", fingerprint, "--json").output
                == #"{"v":1,"requeued":2}"# + "\n")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(try tool.run("show", "2").output.contains("b is there"))
        #expect(try tool.run("requeue").status == 64)
        #expect(try tool.run("requeue", "1", "--all").status == 64)
    }

    @Test("wait ends when the jobs have, whoever runs them, and its status tells how they did")
    func wait() throws {
        for status in [0, 3] {
            _ = try tool.run("add", "--", "sh", "-c", "exit \(status)")
        }
        let waiting = try tool.start(["wait", "1", "2"])
        #expect(try tool.run("worker", "--drain").status == 0)
        let end = waiting.end()
        #expect(end.status == 1)
        #expect(end.output == "1 succeeded\n2 failed\n")
        #expect(try tool.run("wait", "1").status == 0)
        #expect(try tool.run("wait", "1", "--json").output.contains(#""state":"succeeded""#))
        #expect(try tool.run("wait", "99").status == 66)
    }

    @Test("a command that runs over its time limit is stopped, and has failed")
    func timeout() throws {
        _ = try tool.run("add", "--timeout", "1s", "--", "sh", "-c", "echo begun; sleep 600")
        #expect(try tool.run("worker", "--drain").status == 0)
        let shown = try tool.run("show", "1").output
        #expect(shown.contains("it ran for longer than 1.0 seconds and was stopped"))
        #expect(shown.contains("begun"))
        #expect(try tool.run("add", "--timeout", "soon", "--", "true").status == 64)
        let wrong = try tool.run("add", "--timeout", "9s", "--hard-timeout", "5s", "--", "true")
        #expect(wrong.status == 64 && wrong.errorOutput.contains("allowed"))
    }

    @Test("jobs are found and cancelled by their tags")
    func tags() throws {
        for tag in ["import", "import", "mail"] {
            #expect(try tool.run("add", "--tag", tag, "--tag", "eu", "--", "true").status == 0)
        }
        #expect(try tool.run("jobs", "--tag", "import").lines.count == 3)
        #expect(try tool.run("show", "3").output.contains("tags       mail, eu"))
        #expect(
            try tool.run("jobs", "--json", "--tag", "mail").output.contains(
                #""tags":["mail","eu"]"#))
        #expect(
            try tool.run("cancel", "--tag", "import", "--dry-run").output
                == "2 jobs would be cancelled\n")
        #expect(
            try tool.run("cancel", "--tag", "import", "--json").output
                == #"{"v":1,"cancelled":2,"stopping":0}"# + "\n")
        #expect(try tool.run("jobs", "--state", "cancelled").lines.count == 3)
        #expect(try tool.run("add", "--tag", "", "--", "true").status == 64)
    }

    @Test("a paused queue runs nothing until it is resumed, and status says so")
    func pause() throws {
        #expect(try tool.run("add", "--", "echo", "hi").status == 0)
        #expect(try tool.run("pause", "commands").output == "commands is paused\n")
        #expect(try tool.run("pause", "commands").output == "commands was paused already\n")
        #expect(try tool.run("worker", "--drain").status == 0)
        let status = try tool.run("status").output
        #expect(status.contains("commands (paused)"))
        #expect(try tool.run("jobs").output.contains("ready"))
        #expect(
            try tool.run("resume", "commands", "--json").output
                == #"{"v":1,"queue":"commands","paused":false,"changed":true}"# + "\n")
        #expect(try tool.run("worker", "--drain").status == 0)
        #expect(try tool.run("jobs").output.contains("succeeded"))
        let unknown = try tool.run("pause", "defualt")
        #expect(unknown.status == 66 && unknown.errorOutput.contains("no queue \"defualt\""))
    }

    @Test("--version prints the version and those of the formats, and help shows examples")
    func help() throws {
        let version = try tool.run("--version").lines
        #expect(
            version == [
                "0.1.0", "store format 1",
                "payload forms 0 raw, 1 compact, 2 json, 3 command, 4 encrypted", "json schema 1",
            ])
        for command in ["run", "add", "worker", "jobs", "show", "prune", "cancel"] {
            #expect(try tool.run("\(command)", "--help").output.contains("EXAMPLES"))
        }
    }
}
