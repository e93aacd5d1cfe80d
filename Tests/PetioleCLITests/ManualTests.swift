import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Manual pages, completions and the page on what is printed", .ownThreads)
struct ManualTests {
    let tool = Tool()

    /// The folder of the package.
    private var root: String {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/")
    }

    /// The names of all commands, inner ones behind their outer one, as the help has them.
    private func commands(of path: [String] = []) throws -> [[String]] {
        let help = try tool.run(bytes: (["help"] + path).map { Array($0.utf8) }).output
        guard let list = help.components(after: "SUBCOMMANDS:\n") else { return [] }
        var found: [[String]] = []
        for line in list.split(separator: "\n") where line.hasPrefix("  ") {
            guard let name = line.dropFirst(2).split(separator: " ").first,
                line.dropFirst(2).first != " ",
                name.first?.isLowercase == true, name != "help"
            else { continue }
            let own = path + [String(name.prefix { $0 != "," })]
            found += [own] + (path.isEmpty ? try commands(of: own) : [])
        }
        return found
    }

    @Test("each command has a manual page, and a formatter finds nothing wrong with it")
    func manual() throws {
        let end = try tool.start(shell: "'\(root)/.make/man' '\(Tool.path)' pages").end()
        #expect(end.status == 0, "\(end.errorOutput)")
        for command in try commands() {
            let page = tool.read("pages/petiole-\(command.joined(separator: "-")).1")
            #expect(page.contains(".SH NAME\npetiole\\-"), "\(command)")
            #expect(page.contains(".SH SYNOPSIS\npetiole "), "\(command)")
        }
        let add = tool.read("pages/petiole-add.1")
        #expect(add.contains(".SH EXAMPLES\n.nf\npetiole add \\-\\- make \\-C docs html\n"))
        #expect(add.contains(".TP\n\\fB\\-\\-priority <n>\\fR\n0 to 9, 0 first."))
        #expect(tool.read("pages/petiole.1").contains(".TP\n\\fBrun\\fR\n"))
    }

    @Test(
        "bash completes commands, options and the names of queues; each script is one for its shell"
    )
    func completions() throws {
        #expect(try tool.run("add", "--queue", "nightly", "--", "true").status == 0)
        for shell in ["bash", "zsh", "fish"] {
            let script = try tool.run("--generate-completion-script", shell)
            #expect(script.status == 0)
            #expect(script.output.contains("schedule") && script.output.contains("keep-order"))
            try tool.write(script.output, to: "script.\(shell)")
            let path = ["/usr/bin/\(shell)", "/bin/\(shell)"].first { (path: String) in
                access(path, X_OK) == 0
            }
            guard let path else { continue }
            #expect(
                try tool.start(shell: "\(path) -n script.\(shell)").end().status == 0, "\(shell)")
        }
        guard access("/bin/bash", X_OK) == 0 else { return }
        func complete(_ words: String) throws -> Set<String> {
            let line = """
                PATH="$(dirname '\(Tool.path)'):$PATH"; source ./script.bash; \
                COMP_WORDS=(petiole \(words)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; \
                _petiole petiole "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$((COMP_CWORD - 1))]}"; \
                printf '%s\\n' "${COMPREPLY[@]}"
                """
            try tool.write(line, to: "complete.sh")
            return Set(try tool.start(shell: "/bin/bash ./complete.sh").end().lines)
        }
        #expect(try complete("ki").contains("kill"))
        #expect(try complete("add --pri").contains("--priority"))
        #expect(try complete("worker --queue ni").contains("nightly"))
        #expect(try complete("pause ni").contains("nightly"))
    }

    @Test("what is printed as JSON stands on the page, each command and each field")
    func page() throws {
        let copy = try tool.start(
            shell: "cat '\(root)/Sources/Petiole/Petiole.docc/ToolOutput.md'"
        ).end()
        let page = copy.output
        var rows: [String: String] = [:]
        var last = ""
        for line in page.split(separator: "\n") where line.hasPrefix("| ") {
            let cells = line.split(separator: "|").map(String.init)
            if cells.count < 3 { continue }
            if cells[0].contains("`") { last = cells[0] }
            rows[last, default: ""] += cells[2]
        }
        // Each that has the option is there.
        for command in try commands() {
            let help = try tool.run(bytes: (["help"] + command).map { Array($0.utf8) }).output
            guard help.contains("--json") else { continue }
            let name = command.joined(separator: " ")
            let isThere = rows.keys.contains { key in
                key.contains("`\(name)`") || key.contains("`\(name) --")
                    || command.count == 2
                        && (key.contains("`\(command[0]) ") && key.contains("`\(command[1])`"))
            }
            #expect(isThere, "\(name) is not on the page")
        }
        // Each field that is printed is there.
        #expect(try tool.run("add", "--tag", "t", "--retries", "1", "--", "false").status == 0)
        #expect(try tool.run("add", "--after", "1", "--", "true").status == 0)
        #expect(try tool.run("capacity", "commands", "--jobs", "10").status == 0)
        #expect(try tool.run("limit", "commands", "--concurrency", "3").status == 0)
        #expect(
            try tool.run("schedule", "add", "n", "--cron", "@daily", "--", "true").status == 0)
        let jobs = rows[" `jobs` "] ?? ""
        for (words, row) in [
            (["jobs"], jobs), (["status"], rows[" `status` "]), (["show", "1"], nil),
            (["health", "--no-runner"], rows[" `health` "]),
            (["capacity"], rows[" `capacity` "]),
            (["limit", "commands"], rows[" `limit` "]),
            (["schedule", "list"], rows[" `schedule list`, `add` "]),
            (["env", "1"], rows[" `env` "]), (["doctor"], rows[" `doctor` "]),
            (["pause", "1"], rows[" `pause`, `resume` "]),
            (["cancel", "1"], rows[" `cancel` "]), (["clean"], rows[" `clean` "]),
        ] {
            let end = try tool.run(bytes: (words + ["--json"]).map { Array($0.utf8) })
            let documented = row ?? jobs + (rows[" `show` "] ?? "")
            #expect(end.lines.count > 0, "\(words): \(end.errorOutput)")
            for line in end.lines {
                #expect(line.hasPrefix("{\"v\":1,\""))
                for match in line.matches(of: #/[{,]"([A-Za-z_]+)":/#) {
                    let field = String(match.1)
                    if field == "v" { continue }
                    let isThere =
                        documented.contains("`\(field)`")
                        || (rows[" `capacity` "] ?? "").contains("`\(field)`")
                    #expect(isThere, "\(words): \(field)")
                }
            }
        }
    }
}

extension String {
    fileprivate func components(after mark: String) -> Substring? {
        ranges(of: mark).last.map { self[$0.upperBound...] }
    }
}
