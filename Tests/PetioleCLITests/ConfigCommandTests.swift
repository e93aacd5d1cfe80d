import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("petiole config", .ownThreads) struct ConfigCommandTests {
    let tool = Tool()

    private func run(_ line: String) throws -> Tool.End {
        try tool.start(shell: line.replacing("petiole ", with: "\(Tool.path) ")).end()
    }

    @Test("the user's file, the store's, the environment and the line go one before the other")
    func order() throws {
        #expect(try tool.run("config", "set", "add.queue", "one").status == 0)
        #expect(tool.read(".config/petiole/config") == "add.queue = one\n")
        #expect(try tool.run("add", "--json", "--", "true").output.contains("\"queue\":\"one\""))
        #expect(try tool.run("config", "set", "--in-store", "queue", "two").status == 0)
        #expect(try tool.run("add", "--json", "--", "true").output.contains("\"queue\":\"two\""))
        #expect(
            try run("PETIOLE_ADD_QUEUE=four petiole add --json -- true").output.contains(
                "\"queue\":\"four\""))
        #expect(
            try run("PETIOLE_ADD_QUEUE=four petiole add --queue five --json -- true").output
                .contains("\"queue\":\"five\""))
        // It is what a line of a worker is told.
        #expect(
            try run("PETIOLE_QUEUE=three petiole add --json -- true").output.contains(
                "\"queue\":\"two\""))
        let shown = try run("PETIOLE_ADD_QUEUE=four petiole config show --origin")
        #expect(
            shown.output == """
                .petiole/config:1\tqueue = two
                PETIOLE_ADD_QUEUE\tadd.queue = four

                """, "\(shown.output)")
        let json = try tool.run("config", "--json").lines
        #expect(json.count == 2)
        #expect(
            json[1].hasPrefix(
                "{\"v\":1,\"key\":\"add.queue\",\"value\":\"one\",\"origin\":\"user\""))
        #expect(try tool.run("config", "get", "add.queue").output == "one\n")
        #expect(try tool.run("config", "get", "run.bar").status == 66)
    }

    @Test("comments and other lines stay, what is set twice is set once, what is unset is gone")
    func lines() throws {
        tool.makeFolder(".config")
        tool.makeFolder(".config/petiole")
        try tool.write(
            "# mine\nrun.jobs = 2\n\n  retries=1  \nrun.jobs = 3\n", to: ".config/petiole/config")
        #expect(try tool.run("config", "get", "run.jobs").output == "3\n")
        #expect(try tool.run("config", "set", "run.jobs", "4").status == 0)
        #expect(
            tool.read(".config/petiole/config") == "# mine\n\n  retries=1  \nrun.jobs = 4\n")
        #expect(try tool.run("config", "unset", "retries").status == 0)
        #expect(try tool.run("config", "unset", "retries").status == 66)
        #expect(tool.read(".config/petiole/config") == "# mine\n\nrun.jobs = 4\n")
        #expect(
            try tool.run("run", "echo {}", ":::", "a b", "c").lines.sorted() == ["a b", "c"])
    }

    @Test(
        "what is wrong in a file is told with its line, and what is wrong for an option with its place"
    )
    func errors() throws {
        #expect(try tool.run("add", "--", "true").status == 0)
        tool.makeFolder(".config")
        tool.makeFolder(".config/petiole")
        func write(_ text: String) throws { try tool.write(text, to: ".config/petiole/config") }
        try write("\nrun.jbos = 2\n")
        let unknown = try tool.run("run", "true", ":::", "a")
        #expect(unknown.status == 64)
        #expect(unknown.errorOutput.contains(".config/petiole/config line 2: there is no setting"))
        #expect(unknown.errorOutput.contains("petiole config list"))
        try write("nothing\n")
        #expect(try tool.run("add", "--", "true").status == 64)
        try write("run.bar = maybe\n")
        #expect(
            try tool.run("config").errorOutput.contains("line 1: run.bar takes true or false"))
        try write("run.jobs = many\n")
        let value = try tool.run("run", "true", ":::", "a")
        #expect(value.status == 64)
        #expect(value.errorOutput.contains("run.jobs = many ("), "\(value.errorOutput)")
        #expect(value.errorOutput.contains(".config/petiole/config:1)"))
        // What takes no settings reads no file.
        try write("rubbish\n")
        #expect(try tool.run("status").status == 0)
        #expect(try tool.run("config", "set", "no.key", "1").status == 64)
        #expect(try tool.run("run", "--help").status == 0)
    }

    @Test("options of the command that is to run are none of the tool's")
    func ofCommands() throws {
        #expect(try tool.run("config", "set", "run.tag", "true").status == 0)
        for words in [["echo", "-h"], ["echo", "--help"], ["echo", "--store", "x"]] {
            let end = try tool.run(
                bytes: (["run"] + words + [":::", "a"]).map { Array($0.utf8) })
            #expect(
                end.output == "a\t\(words.dropFirst().joined(separator: " ")) a\n",
                "\(end.errorOutput)")
        }
        #expect(try tool.run("config", "set", "--in-store", "run.tag", "false").status == 0)
        #expect(
            try tool.run("run", "echo", "--store", "y", ":::", "a").output == "--store y a\n")
    }

    @Test("lines may end as those of DOS; a link stays one, and a file keeps its mode")
    func files() throws {
        tool.makeFolder(".config")
        tool.makeFolder(".config/petiole")
        try tool.write("# mine\r\nrun.jobs = 2\r\nretries = 1\r\n", to: "mine")
        #expect(symlink("../../mine", tool.file(".config/petiole/config")) == 0)
        #expect(chmod(tool.file("mine"), 0o640) == 0)
        #expect(try tool.run("config", "get", "run.jobs").output == "2\n")
        #expect(try tool.run("config", "set", "retries", "3").status == 0)
        #expect(tool.read("mine") == "# mine\r\nrun.jobs = 2\r\nretries = 3\n")
        var info = stat()
        #expect(lstat(tool.file(".config/petiole/config"), &info) == 0)
        #expect(info.st_mode & S_IFMT == S_IFLNK)
        #expect(stat(tool.file("mine"), &info) == 0 && info.st_mode & 0o777 == 0o640)
    }

    @Test("a store that the user's file names is used where none is found upward")
    func store() throws {
        tool.makeFolder("elsewhere")
        #expect(
            try tool.run("config", "set", "store", tool.file("elsewhere/jobs")).status == 0)
        #expect(try tool.run("add", "--", "true").status == 0)
        #expect(tool.exists("elsewhere/jobs/data.mdb"))
        #expect(!tool.exists(".petiole"))
        #expect(try tool.run("config", "set", "--in-store", "store", "x").status == 64)
    }

    @Test("each setting is an option that its commands have")
    func keys() throws {
        var help: [String: String] = [:]
        for command in ["run", "add", "worker"] {
            help[command] = try tool.run(command, "--help").output
        }
        for key in SettingKey.all where key.name != "store" {
            #expect(!key.commands.isEmpty)
            for command in key.commands {
                let isThere = [" ", ","].contains {
                    help[command]?.contains(key.option + $0) == true
                }
                #expect(isThere, "\(key.name)")
            }
        }
        #expect(Set(SettingKey.all.map(\.name)).count == SettingKey.all.count)
        #expect(Set(SettingKey.all.map(\.variable)).count == SettingKey.all.count)
        #expect(try tool.run("config", "list").lines.count == SettingKey.all.count + 1)
    }
}
