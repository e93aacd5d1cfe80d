#if os(Linux)
    import Foundation

    /// What `DiskShim` noted, in order.
    enum DiskEvent {
        case write(offset: Int, bytes: [UInt8])
        /// The bytes of a write through O_DSYNC are durable.
        case written(offset: Int, count: Int)
        case sync
        case said(String)
        case renamed
        case directorySynced(String)

        static func read(_ path: String) throws -> [DiskEvent] {
            let log = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            var events: [DiskEvent] = []
            var at = 0
            while at + 24 <= log.count {
                let (kind, offset, count) = log.withUnsafeBytes {
                    (
                        Int($0.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
                        Int($0.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)),
                        Int($0.loadUnaligned(fromByteOffset: at + 16, as: UInt64.self))
                    )
                }
                let bytes = Array(log[at + 24..<at + 24 + count])
                at += 24 + count
                switch UInt8(kind) {
                case UInt8(ascii: "w"): events.append(.write(offset: offset, bytes: bytes))
                case UInt8(ascii: "p"): events.append(.written(offset: offset, count: count))
                case UInt8(ascii: "s"): events.append(.sync)
                case UInt8(ascii: "m"): events.append(.renamed)
                case UInt8(ascii: "d"):
                    events.append(.directorySynced(String(decoding: bytes, as: UTF8.self)))
                default:
                    let text = String(decoding: bytes, as: UTF8.self)
                    for line in text.split(separator: "\n") { events.append(.said(String(line))) }
                }
            }
            return events
        }
    }

    /// A disk that may lose power. A page is on it as it was at the last sync that began behind a write of it, or at any
    /// version since, each page by itself, and torn between two sectors.
    ///
    /// - Source: the order of writes within a file is nobody's promise; sectors of 512 bytes are. T. Pillai and others, "All
    ///   File Systems Are Not Created Equal", OSDI 2014.
    struct CutDisk {
        static let pageSize = 4_096
        static let sectorSize = 512
        private static let empty = [UInt8](repeating: 0, count: pageSize)

        private var durable: [Int: [UInt8]] = [:]
        /// What was written since, the newest last.
        private(set) var pending: [Int: [[UInt8]]] = [:]
        /// A disk that says it has written what it has not: to see whether that is found.
        var liesAboutSyncs = false

        mutating func apply(_ event: DiskEvent) {
            switch event {
            case .write(let offset, let bytes): write(offset, bytes)
            case .written(let offset, let count):
                settle(Array(offset / Self.pageSize...(offset + count - 1) / Self.pageSize))
            case .sync: if !liesAboutSyncs { settle(Array(pending.keys)) }
            case .said, .renamed, .directorySynced: break
            }
        }

        private mutating func write(_ offset: Int, _ bytes: [UInt8]) {
            var done = 0
            while done < bytes.count {
                let page = (offset + done) / Self.pageSize
                let start = (offset + done) % Self.pageSize
                let count = min(Self.pageSize - start, bytes.count - done)
                var version = pending[page]?.last ?? durable[page] ?? Self.empty
                version.replaceSubrange(start..<start + count, with: bytes[done..<done + count])
                pending[page, default: []].append(version)
                done += count
            }
        }

        private mutating func settle(_ pages: [Int]) {
            for page in pages {
                if let last = pending.removeValue(forKey: page)?.last { durable[page] = last }
            }
        }

        enum Choice {
            case nothing, everything
            case only(Int)
            case allBut(Int)
        }

        func image(_ choice: Choice) -> [UInt8] {
            image { page, versions in
                switch choice {
                case .nothing: nil
                case .everything: versions.last
                case .only(let chosen): page == chosen ? versions.last : nil
                case .allBut(let chosen): page == chosen ? nil : versions.last
                }
            }
        }

        func image(_ random: inout SeededRandom) -> [UInt8] {
            // In the order of pages: a seed gives one image.
            var chosen: [Int: [UInt8]] = [:]
            for (page, versions) in pending.sorted(by: { $0.key < $1.key }) {
                let index = Int.random(in: 0...versions.count, using: &random)
                let tear = Int.random(in: 1...32, using: &random)
                guard index > 0 else { continue }
                var version = versions[index - 1]
                if tear < Self.pageSize / Self.sectorSize {
                    let before = index > 1 ? versions[index - 2] : durable[page] ?? Self.empty
                    let cut = tear * Self.sectorSize
                    version.replaceSubrange(cut..., with: before[cut...])
                }
                chosen[page] = version
            }
            return image { page, _ in chosen[page] }
        }

        private func image(_ choose: (Int, [[UInt8]]) -> [UInt8]?) -> [UInt8] {
            var pages = durable
            for (page, versions) in pending {
                if let chosen = choose(page, versions) { pages[page] = chosen }
            }
            var image = [UInt8](
                repeating: 0, count: ((pages.keys.max() ?? -1) + 1) * Self.pageSize)
            image.withUnsafeMutableBytes { image in
                for (page, bytes) in pages {
                    UnsafeMutableRawBufferPointer(
                        rebasing: image[page * Self.pageSize..<(page + 1) * Self.pageSize]
                    ).copyBytes(from: bytes)
                }
            }
            return image
        }
    }

    /// What a process had been told when the power went.
    struct Told {
        var isMade = false
        var accepted: [ClosedRange<UInt64>] = []
        var ended: [UInt64] = []

        mutating func hear(_ line: String) {
            let words = line.split(separator: " ")
            if words.count == 1 { isMade = true }
            guard words.count == 2, let last = UInt64(words[1]) else { return }
            if let first = UInt64(words[0]) {
                accepted.append(first...last)
            } else {
                ended.append(last)
            }
        }
    }
#endif
