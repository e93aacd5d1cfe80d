import Foundation
import Testing

@testable import Petiole

@Suite("Hostile payloads") struct HostilePayloadTests {
    /// Reads the bytes in every way there is; each returns or throws.
    private func readInEveryWay(_ bytes: [UInt8]) {
        struct Wide: Codable {
            enum Step: Codable { case stop, go(Int), turn(left: Bool, by: [Double]) }
            var id: Int8?, names: [String]?, step: Step?, data: [UInt8]?, at: Date?
            var table: [String: Shape]?, inner: [Wide]?
        }
        for read: () throws -> Void in [
            { _ = try decoded(Thumbnail.self, bytes) },
            { _ = try decoded(Wide.self, bytes) },
            { _ = try decoded(Shape.self, bytes) },
            { _ = try decoded([UInt8].self, bytes) },
            { _ = try decoded(Data.self, bytes) },
            { _ = try decoded(UInt16.self, bytes) },
            { _ = try decoded(Float.self, bytes) },
            { _ = try shown(bytes) },
            { _ = try decoded(Shape.self, bytes, .json) },
            { _ = try decoded(Thumbnail.self, bytes, .json) },
        ] {
            do { try read() } catch { #expect(error is CodecError) }
        }
    }

    private let sample: [UInt8] = [
        0xA6,  // {
        0x62, 0x69, 0x64, 0x18, 0x2A,  // "id": 42
        0x64, 0x73, 0x74, 0x65, 0x70, 0xA1, 0x62, 0x67, 0x6F, 0xA1, 0x62, 0x5F, 0x30, 0x01,
        0x65, 0x6E, 0x61, 0x6D, 0x65, 0x73, 0x82, 0x61, 0x61, 0x62, 0xC3, 0xA4,
        0x64, 0x64, 0x61, 0x74, 0x61, 0x42, 0x01, 0x02,  // "data": two bytes
        0x62, 0x61, 0x74, 0xFA, 0x3F, 0x80, 0x00, 0x00,  // "at": 1.0
        0x65, 0x74, 0x61, 0x62, 0x6C, 0x65, 0xA1, 0x61, 0x78, 0xF6,
    ]

    @Test("a payload cut off at any byte is an error")
    func truncation() throws {
        _ = try shown(sample)
        for length in 0..<sample.count {
            let cut = Array(sample[..<length])
            #expect(throws: CodecError.self) { try shown(cut) }
            #expect(throws: CodecError.self) { try decoded(Shape.self, cut) }
            readInEveryWay(cut)
        }
        let json = try encoded(Thumbnail.example, .json)
        for length in 0..<json.count {
            #expect(throws: CodecError.self) {
                try decoded(Thumbnail.self, Array(json[..<length]), .json)
            }
        }
    }

    @Test("any byte changed to any value gives an error or a value")
    func mutation() {
        for index in sample.indices {
            for value in UInt8.min ... .max {
                var changed = sample
                changed[index] = value
                readInEveryWay(changed)
            }
        }
    }

    @Test("any byte of a JSON payload changed to any value gives an error or a value")
    func mutatedText() throws {
        let json = Array(
            #"{"id":-1.5e3,"t":[true,null,"\u00e4\ud83d\ude00é"],"$bytes":"AQ=="}"#.utf8)
        for index in json.indices {
            for value in UInt8.min ... .max {
                var changed = json
                changed[index] = value
                readInEveryWay(changed)
                do { _ = try compact(json: String(decoding: changed, as: UTF8.self)) } catch {
                    continue
                }
            }
        }
    }

    @Test("bytes drawn at random give an error or a value", arguments: 0..<20)
    func noise(seed: UInt64) {
        var source = SplitMix(state: seed)
        for _ in 0..<200 {
            let length = Int.random(in: 0...40, using: &source)
            readInEveryWay((0..<length).map { _ in UInt8(truncatingIfNeeded: source.next()) })
        }
    }

    @Test("a declared length is not believed", arguments: [2, 3, 4, 5] as [UInt8])
    func lengths(kind: UInt8) {
        for width in 24...27 as ClosedRange<UInt8> {
            for fill in [0x01, 0x7F, 0x80, 0xFF] as [UInt8] {
                let head = [kind << 5 | width, fill] + [UInt8](repeating: 0xFF, count: 7)
                for bytes in [head, head + [0, 0, 0], [0x81] + head] {
                    #expect(throws: CodecError.self) { try shown(bytes) }
                    readInEveryWay(bytes)
                }
            }
        }
    }

    @Test("64 containers in one another are read, 65 and 10,000 are refused, both ways")
    func depth() throws {
        func nested(_ depth: Int) -> [UInt8] { [UInt8](repeating: 0x81, count: depth - 1) + [0x80] }
        func text(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try shown(nested(64)) == text(64))
        #expect(try compact(json: text(64)) == nested(64))
        let shape = try decoded(Shape.self, nested(64))
        #expect(try encoded(shape) == nested(64))
        let tooDeep = CodecError.tooDeep(limit: 64)
        #expect(throws: tooDeep) { try encoded(Shape.array([shape])) }
        for depth in [65, 10_000] {
            #expect(throws: tooDeep) { try shown(nested(depth)) }
            #expect(throws: tooDeep) { try decoded(Shape.self, nested(depth)) }
            #expect(throws: tooDeep) { try compact(json: text(depth)) }
            #expect(throws: tooDeep) { try decoded(Shape.self, Array(text(depth).utf8), .json) }
            let maps = String(repeating: #"{"a":"#, count: depth)
            #expect(throws: tooDeep) { try compact(json: maps) }
        }
    }

    @Test("nested containers count towards the depth when they are written")
    func writtenDepth() throws {
        struct Tower: Encodable {
            let height: Int
            func encode(to encoder: any Encoder) throws {
                var top = encoder.unkeyedContainer()
                var floors = [top.nestedUnkeyedContainer()]
                while floors.count < height - 1 {
                    var last = floors[floors.count - 1]
                    floors.append(last.nestedUnkeyedContainer())
                }
            }
        }
        #expect(try encoded(Tower(height: 64)).count == 64)
        #expect(throws: CodecError.tooDeep(limit: 64)) { try encoded(Tower(height: 65)) }
        #expect(throws: CodecError.tooDeep(limit: 64)) { try encoded(Tower(height: 500)) }
    }

    @Test("a key given twice is refused, in small maps and large ones, in both forms")
    func duplicateKeys() throws {
        for count in [2, 12, 13, 14, 500] {
            var members = (0..<count - 1).map { "\"key number \($0)\":\($0)" }
            _ = try compact(json: "{\(members.joined(separator: ","))}")
            members.append("\"key number \(count / 2 - 1)\":0")
            let text = "{\(members.joined(separator: ","))}"
            #expect(throws: CodecError.self) { try compact(json: text) }
            #expect(throws: CodecError.self) { try decoded(Shape.self, Array(text.utf8), .json) }
            var bytes = ByteWriter()
            bytes.appendHead(.map, UInt64(count))
            for index in 0..<count - 1 {
                bytes.appendText("key number \(index)")
                bytes.appendInteger(index)
            }
            bytes.appendText("key number \(count / 2 - 1)")
            bytes.append(0)
            let payload = bytes.withBytes { Array($0) }
            #expect(throws: CodecError.self) { try shown(payload) }
            #expect(throws: CodecError.self) { try decoded([String: Int].self, payload) }
        }
        // The same keys in maps beside and within one another are different ones.
        let fine = #"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#
        #expect(try shown(compact(json: fine)) == fine)
    }

    @Test("text that is not UTF-8 is refused wherever it stands")
    func utf8() {
        let bad: [[UInt8]] = [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80],
            [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5], [0xFF], [0xE2, 0x82],
            [0xC3, 0x28], [0xF0, 0x9F, 0x98],
        ]
        for text in bad {
            for padding in [0, 3, 9] {
                let padded = [UInt8](repeating: 0x61, count: padding) + text
                let string = [0x60 | UInt8(padded.count)] + padded
                #expect(throws: CodecError.self) { try decoded(String.self, string) }
                #expect(throws: CodecError.self) { try shown([0xA1] + string + [0]) }
                #expect(throws: CodecError.self) {
                    try decoded(String.self, [0x22] + padded + [0x22], .json)
                }
            }
        }
    }

    @Test("UTF-8 is judged as the standard library judges it")
    func utf8Reference() {
        var source = SplitMix(state: 5)
        let interesting: [UInt8] = [
            0, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
            0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5,
        ]
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 1...12, using: &source)).map { _ in
                interesting.randomElement(using: &source) ?? 0
            }
            let ours = bytes.withUnsafeBufferPointer { bytes in
                bytes.baseAddress.map { UTF8Check.isValid($0, bytes.count) } ?? true
            }
            #expect(ours == (String(validating: bytes, as: UTF8.self) != nil))
        }
    }

    @Test("anything after the value is an error")
    func trailing() throws {
        #expect(throws: CodecError.malformed(offset: 1, reason: "there is more after the value")) {
            try decoded(Int.self, [1, 1])
        }
        #expect(throws: CodecError.self) { try compact(json: "1 1") }
        #expect(throws: CodecError.self) { try decoded(Int.self, Array("1]".utf8), .json) }
        #expect(throws: CodecError.self) { try decoded(Int.self, []) }
        #expect(throws: CodecError.self) { try decoded(Int.self, [], .json) }
    }
}
