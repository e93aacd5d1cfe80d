import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A store whose pages hold noise. What the pages of LMDB's own trees hold is seen only when it is followed.
@Suite("The tool and damaged stores", .ownThreads) struct DamageTests {
    private let tool = Tool()

    @Test("noise in any page of a store ends in a sentence and a status, not in a signal")
    func noise() throws {
        let inputs = (1...300).map(String.init).joined(separator: "\n")
        _ = try tool.run("run", "echo {}", input: inputs)
        var info = stat()
        #expect(stat(tool.file(".petiole/data.mdb"), &info) == 0)
        let pages = Int(info.st_size) / 4_096
        #expect(pages > 10)
        var noise: UInt64 = 1
        for page in 2..<pages {
            _ = try tool.start(shell: "rm -rf copy; cp -a .petiole copy").end()
            let bytes = (0..<512).map { _ in
                // Knuth's generator: the same noise each time.
                noise = noise &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return noise.byteSwapped
            }
            let file = open(tool.file("copy/data.mdb"), O_WRONLY | O_CLOEXEC)
            #expect(pwrite(file, bytes, 4_096, off_t(page * 4_096)) == 4_096)
            close(file)
            for command in ["jobs", "run"] {
                let end =
                    command == "jobs"
                    ? try tool.run("jobs", "--limit", "0", "--store", "copy")
                    : try tool.run("run", "--store", "copy", "echo {}", input: inputs)
                #expect(
                    [0, 65, 66, 74, 125].contains(end.status),
                    "page \(page), \(command): \(end.status) \(end.errorOutput)")
                if end.status != 0 { #expect(end.errorOutput.hasPrefix("petiole: ")) }
                if command == "run", end.status == 0 {
                    expectAllPrinted(end, page)
                }
            }
        }
    }

    /// A run that calls itself finished has printed what each of its inputs came to.
    private func expectAllPrinted(_ end: Tool.End, _ page: Int) {
        #expect(end.lines.count >= 300, "page \(page): \(end.lines.count) of 300, and no word")
    }

    @Test("jobs that cannot be read are counted and named, and the others are listed")
    func unreadable() throws {
        let inputs = (1...5).map(String.init).joined(separator: "\n")
        _ = try tool.run("run", "true {} the payload", input: inputs)
        let change = "LC_ALL=C sed -i 's/the payload/The payload/g' .petiole/data.mdb"
        _ = try tool.start(shell: change).end()
        let listed = try tool.run("jobs")
        #expect(listed.status == 65)
        #expect(listed.lines.count >= 5)
        #expect(listed.errorOutput.contains("cannot be read"))
        // It is not known which inputs they were made for.
        let again = try tool.run("run", "true {} the payload", input: inputs)
        #expect(again.status == 125 && again.errorOutput.contains("cannot be read"))
    }
}
