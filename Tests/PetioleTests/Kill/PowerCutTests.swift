#if os(Linux)
    import Foundation
    import PetioleStorage
    import Testing

    @testable import Petiole

    @Suite("Power cuts", .timeLimit(.minutes(10))) struct PowerCutTests {
        private func record(_ directory: TestDirectory, rounds: Int) async throws -> [DiskEvent] {
            let shim = try DiskShim(directory)
            let child = try Child(
                ["life", directory.store, "\(rounds)"], environment: shim.recording)
            try #require(try await child.end() == .exit(0))
            return try DiskEvent.read(shim.log)
        }

        /// Makes the directory as a cut could have left it, and says what is wrong with it. What is not synced but the data
        /// file has its name alone.
        private func problems(
            _ image: [UInt8], in directory: TestDirectory, _ told: Told,
            whole: [ClosedRange<UInt64>], isUsed: Bool
        ) async throws -> [String] {
            let path = directory.path + "/cut.petiole"
            let files = FileManager.default
            try files.createDirectory(
                atPath: path, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
            defer {
                do { try files.removeItem(atPath: path) } catch { Issue.record(error) }
            }
            for (name, contents) in [
                ("data.mdb", Data(image)), ("bell", Data()), ("running", Data()), ("locks", Data()),
            ] {
                let isMade = files.createFile(
                    atPath: "\(path)/\(name)", contents: contents,
                    attributes: [.posixPermissions: 0o600])
                try #require(isMade)
            }
            // Without LMDB, which trusts its file.
            let check = try StoreCheck.run(directory: path)
            guard check.verdict == .whole else { return check.findings }
            var options = StoreOptions()
            options.createsStore = false
            let store = try JobStore(at: path, options: options)
            defer { store.close() }
            let audit = try Audit(store)
            var problems = audit.problems
            for range in told.accepted where !range.allSatisfy(audit.jobs.contains) {
                problems.append("of \(range), which was accepted, not all is there")
            }
            for range in whole where range.contains(where: audit.jobs.contains) {
                if !range.allSatisfy(audit.jobs.contains) { problems.append("\(range) is cut") }
            }
            for id in told.ended where audit.outcomes[id] == nil {
                problems.append("the outcome of \(id) is gone")
            }
            if isUsed, problems.isEmpty { problems += try await use(store) }
            return problems
        }

        /// Goes on with a store: takes a job, and runs all that is there.
        private func use(_ store: JobStore) async throws -> [String] {
            let before = try Audit(store)
            let work = JobClosure("Work") { (_: [String: String], context) in
                Int(context.id.rawValue)
            }
            let large = JobClosure("Large") { (_: [UInt8], _) in NoResult() }
            let job = try await store.enqueue(
                name: "Work", payload: ["kind": "plain"], output: Int.self)
            try await makeRunner(store, [work, large]).run { _ = try await job.result }
            let after = try Audit(store)
            var problems = after.problems
            for (id, outcome) in before.outcomes where after.outcomes[id] != outcome {
                problems.append("the outcome of \(id) has changed")
            }
            let parked = try store.counts().parked
            if try store.counts().unfinished != parked { problems.append("not all has ended") }
            return problems
        }

        @Test("what was accepted, and what was told of outcomes, survives a cut at any moment")
        func cuts() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let events = try await record(directory, rounds: 3)
            var whole = Told()
            for case .said(let line) in events { whole.hear(line) }
            #expect(whole.accepted.count >= 12)
            #expect(whole.ended.count >= 5)
            var random = SeededRandom(1)
            var disk = CutDisk()
            var told = Told()
            var isInPlace = false
            var images = 0
            for event in events {
                // The moment before it: with what is pending then.
                if isInPlace {
                    var cuts = [disk.image(&random)]
                    switch event {
                    case .sync, .written:
                        cuts += [disk.image(.nothing), disk.image(.everything)]
                        for page in disk.pending.keys.sorted().prefix(3) {
                            cuts += [disk.image(.only(page)), disk.image(.allBut(page))]
                        }
                        cuts.append(disk.image(&random))
                    default: break
                    }
                    for image in cuts {
                        images += 1
                        let problems = try await problems(
                            image, in: directory, told, whole: whole.accepted,
                            isUsed: images % 40 == 0)
                        #expect(problems == [], "image \(images), after \(told)")
                        if !problems.isEmpty { return }
                    }
                }
                disk.apply(event)
                switch event {
                case .renamed: isInPlace = true
                case .said(let line): told.hear(line)
                default: break
                }
            }
            #expect(images > 200)
        }

        @Test("a store that is being made is whole before it has its name, and durable before use")
        func creation() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            var disk = CutDisk()
            var synced: [String] = []
            var isInPlace = false
            for event in try await record(directory, rounds: 1) {
                disk.apply(event)
                switch event {
                case .renamed:
                    #expect(
                        disk.pending.isEmpty, "renamed with \(disk.pending.count) pages to come")
                    #expect(synced.contains { $0.contains("work.petiole.new") })
                    synced = []
                    isInPlace = true
                case .directorySynced(let path): synced.append(path)
                case .said("made"):
                    #expect(isInPlace)
                    #expect(synced == [directory.path])
                default: break
                }
            }
            #expect(isInPlace)
        }

        @Test("a disk that says it has written what it has not is found out by the same look")
        func lies() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            var random = SeededRandom(2)
            var disk = CutDisk()
            disk.liesAboutSyncs = true
            var told = Told()
            var found = 0
            for event in try await record(directory, rounds: 2) {
                disk.apply(event)
                guard case .said(let line) = event else { continue }
                told.hear(line)
                let problems: [String]
                do {
                    problems = try await self.problems(
                        disk.image(&random), in: directory, told, whole: [], isUsed: false)
                } catch { problems = ["\(error)"] }
                if !problems.isEmpty { found += 1 }
            }
            #expect(found > 0)
        }
    }
#endif
