import Foundation
import Testing

@testable import Petiole

@Suite("Payload round trips") struct RoundTripTests {
    private func check<Value: Codable & Equatable>(_ value: Value) throws {
        #expect(try decoded(Value.self, encoded(value)) == value)
        #expect(try decoded(Value.self, encoded(value, .json), .json) == throughFoundation(value))
        #expect(try throughFoundation(value) == value)
        // Foundation reads our JSON, and we read Foundation's.
        #expect(
            try JSONDecoder().decode(Value.self, from: Data(encoded(value, .json))) == value)
        #expect(try decoded(Value.self, Array(JSONEncoder().encode(value)), .json) == value)
    }

    @Test("a struct of plain fields comes back")
    func plain() throws { try check(Thumbnail.example) }

    @Test("single values at the top come back")
    func singles() throws {
        try check(0)
        try check("")
        try check("fifteen letters and more of them, äöü 漢字 😀")
        try check(true)
        try check(1.5)
        try check(Float(0.1))
        try check([Int]())
        try check([String: Int]())
        try check(Optional<Int>.none)
        try check(Optional(7))
    }

    @Test("integers come back at the edges of each head and of each type")
    func integers() throws {
        for shift in 0..<64 {
            for offset in [-1, 0, 1] {
                let value = (1 << shift) &+ offset
                try check(value)
                try check(0 &- value)
                try check(UInt64(truncatingIfNeeded: value))
            }
        }
        try check([Int8.min, .max])
        try check([Int16.min, .max])
        try check([Int32.min, .max])
        try check([Int64.min, .max])
        try check([UInt8.max])
        try check([UInt16.max])
        try check([UInt32.max])
        try check([UInt64.max])
        try check([UInt.max])
    }

    @Test("floating-point numbers come back bit by bit in the compact form")
    func numbers() throws {
        let doubles: [Double] = [
            0, -0.0, 1, 0.1, .pi, .infinity, -.infinity, .nan, .signalingNaN,
            .leastNonzeroMagnitude,
            .leastNormalMagnitude, .greatestFiniteMagnitude, 1e23, 16_777_217,
            9_007_199_254_740_994,
            Double(bitPattern: 0x7FF8_0000_0000_0001), Double(bitPattern: 0xFFF8_1234_0000_0000),
        ]
        for value in doubles {
            #expect(try decoded(Double.self, encoded(value)).bitPattern == value.bitPattern)
            #expect(
                try decoded([Double].self, encoded([value])).map(\.bitPattern)
                    == [value.bitPattern])
        }
        let floats: [Float] = [
            0, -0.0, 0.1, .infinity, .nan, .signalingNaN, .leastNonzeroMagnitude,
            .greatestFiniteMagnitude, Float(bitPattern: 0x7FC0_0001),
        ]
        for value in floats {
            #expect(try decoded(Float.self, encoded(value)).bitPattern == value.bitPattern)
        }
    }

    @Test("finite numbers come back bit by bit through JSON")
    func numbersThroughJSON() throws {
        var source = SplitMix(state: 1)
        for _ in 0..<5_000 {
            let double = Double(bitPattern: source.next())
            if double.isFinite {
                let bytes = try encoded(double, .json)
                #expect(try decoded(Double.self, bytes, .json).bitPattern == double.bitPattern)
            }
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: source.next()))
            if float.isFinite {
                let bytes = try encoded(float, .json)
                #expect(try decoded(Float.self, bytes, .json).bitPattern == float.bitPattern)
            }
        }
    }

    @Test("JSON refuses infinities and NaN, and names the field")
    func notFinite() {
        struct Job: Codable { var scales: [Float]; var scale: Double? }
        #expect(
            throws: CodecError.unsupported(
                path: "scales[1]", reason: "JSON has no infinity and no NaN")
        ) { try encoded(Job(scales: [1, .infinity]), .json) }
        #expect(
            throws: CodecError.unsupported(path: "scale", reason: "JSON has no infinity and no NaN")
        ) { try encoded(Job(scales: [], scale: .nan), .json) }
        #expect(throws: CodecError.self) { try encoded([Double.nan], .json) }
    }

    @Test("shapes drawn at random come back", arguments: 0..<40)
    func drawn(seed: UInt64) throws {
        var source = SplitMix(state: seed)
        let shape = Shape.drawn(&source, depth: 3)
        try check(shape)
        let bytes = try encoded(shape)
        #expect(try decoded(Shape.self, compact(json: shown(bytes))) == shape)
        #expect(try JSONDecoder().decode(Shape.self, from: Data(shown(bytes).utf8)) == shape)
    }

    @Test("maps and arrays of every size around the sizes of heads come back")
    func sizes() throws {
        for size in [0, 1, 11, 12, 13, 22, 23, 24, 25, 255, 256, 257, 65_535, 65_536] {
            let array = (0..<size).map { Int8(truncatingIfNeeded: $0) }
            #expect(try decoded([Int8].self, encoded(array)) == array)
            let map = Dictionary(uniqueKeysWithValues: (0..<size).map { ("key \($0)", $0) })
            #expect(try decoded([String: Int].self, encoded(map)) == map)
        }
    }

    @Test("dictionaries come back whatever their keys are")
    func dictionaries() throws {
        enum Colour: String, Codable { case red, green }
        struct Point: Codable, Hashable { var x: Int, y: Int }
        try check([1: "one", -2: "minus two"])
        try check([Colour.red: 1, .green: 2])
        try check([Point(x: 1, y: 2): [1, 2]])
        try check(["": 1, "a": 2, "ä": 3])
        try check(["a": Int?.none, "b": 1])
    }

    @Test("optional fields come back, absent or null or there")
    func optionals() throws {
        struct Job: Codable, Equatable {
            var a: Int?
            var b: String?
            var c: [Int?]
            var d: [String: Int?]
            var e: Double?
            var f: Thumbnail?
        }
        try check(Job(c: [1, nil, 3], d: ["x": nil]))
        try check(Job(a: 1, b: "b", c: [], d: [:], e: 2, f: .example))
        #expect(
            try decoded(Job.self, compact(json: #"{"a":null,"b":null,"c":[null],"d":{}}"#))
                == Job(c: [nil], d: [:]))
    }

    @Test("enums with associated values come back")
    func enums() throws {
        indirect enum Step: Codable, Equatable {
            case stop
            case resize(width: Int, height: Int)
            case rename(String)
            case then(Step, Step)
        }
        try check(Step.stop)
        try check(Step.resize(width: 3, height: 4))
        try check([
            Step.rename("x"), .then(.stop, .then(.rename("y"), .resize(width: 1, height: 2))),
        ])
    }

    @Test("Foundation's own types come back as their Codable code has it")
    func foundationTypes() throws {
        struct Job: Codable, Equatable {
            var at: Date, id: UUID, page: URL, data: Data, price: Decimal
        }
        let job = Job(
            at: Date(timeIntervalSinceReferenceDate: 700_000_000.123), id: UUID(),
            page: try #require(URL(string: "https://example.org/a?b=c")),
            data: Data(0...255), price: 12)
        for codec in [PayloadCodec.compact, .json] {
            #expect(try decoded(Job.self, encoded(job, codec), codec) == job)
        }
    }

    @Test("bytes are a byte string in the compact form, an array in JSON, and read from either")
    func bytes() throws {
        let value: [UInt8] = Array(0...255)
        #expect(try encoded(value).count == 256 + 3)
        try check(value)
        #expect(try decoded(Data.self, encoded(value)) == Data(value))
        #expect(try decoded([UInt8].self, encoded(Data(value))) == value)
        #expect(try decoded([[UInt8]].self, encoded([value, []])) == [value, []])
    }

    @Test("raw carries bytes as they are and refuses all else")
    func raw() throws {
        let value: [UInt8] = [1, 2, 3]
        #expect(try encoded(value, .raw) == value)
        #expect(try decoded([UInt8].self, value, .raw) == value)
        #expect(try decoded([UInt8].self, [], .raw) == [])
        #expect(throws: CodecError.self) { try encoded("text", .raw) }
        #expect(throws: CodecError.self) { try decoded(String.self, value, .raw) }
    }

    @Test("a span is read like a buffer")
    func span() throws {
        let bytes = try encoded(Thumbnail.example)
        #expect(
            try PayloadCodec.compact.decode(Thumbnail.self, from: bytes.span.bytes) == .example)
    }

    @Test("a payload is appended to what the writer holds")
    func appends() throws {
        var bytes = ByteWriter(capacity: 16)
        bytes.append(9)
        try PayloadCodec.compact.encode([1, 2], into: &bytes)
        try PayloadCodec.json.encode([1, 2], into: &bytes)
        #expect(bytes.withBytes { Array($0) } == [9, 0x82, 1, 2] + Array("[1,2]".utf8))
    }

    @Test("after a failure the writer holds what it held, and the next payload is whole")
    func failureLeavesNothing() throws {
        struct Bad: Encodable {
            struct Refusal: Error {}
            func encode(to encoder: any Encoder) throws {
                var values = encoder.unkeyedContainer()
                try values.encode("some")
                throw Refusal()
            }
        }
        var bytes = ByteWriter()
        bytes.append(1)
        for codec in [PayloadCodec.compact, .json] {
            #expect(throws: CodecError.refused(path: "k[1]", reason: "it threw Refusal")) {
                try codec.encode(["k": [AnyBad.fine, .bad(Bad())]], into: &bytes)
            }
            #expect(bytes.withBytes { Array($0) } == [1])
        }
        #expect(try decoded(Thumbnail.self, encoded(Thumbnail.example)) == .example)

        enum AnyBad: Encodable {
            case fine, bad(Bad)
            func encode(to encoder: any Encoder) throws {
                guard case .bad(let bad) = self else { return }
                try bad.encode(to: encoder)
            }
        }
    }

    @Test("threads encode and decode at once, each with its own scratch")
    func threads() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    for round in 0..<500 {
                        var job = Thumbnail.example
                        job.id = number * 1_000 + round
                        for codec in [PayloadCodec.compact, .json] {
                            let bytes = try encoded(job, codec)
                            #expect(try decoded(Thumbnail.self, bytes, codec) == job)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
