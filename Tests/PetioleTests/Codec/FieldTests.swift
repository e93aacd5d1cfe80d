import Foundation
import Testing

@testable import Petiole

@Suite("Fields of a payload") struct FieldTests {
    @Test("keys are found in any order, and keys nobody asks for are passed over")
    func order() throws {
        let text = #"""
            {"path":"/images/0001.jpeg","more":{"id":[1,{"id":2}],"x":[[]]},"isUrgent":true,
             "scale":0.1,"name":"resize","id":123456,"id2":0}
            """#
        #expect(try decoded(Thumbnail.self, compact(json: text)) == .example)
        #expect(try decoded(Thumbnail.self, Array(text.utf8), .json) == .example)
    }

    @Test("absent keys beside a large array are answered without walking it each time")
    func absentBesideLarge() throws {
        struct Job: Codable {
            var list: [[Int]]
            var a: Int?
            var b: Int?
            var c: Int?
            var last: Int
        }
        let job = Job(list: Array(repeating: [1, 2, 3], count: 50_000), last: 9)
        let back = try decoded(Job.self, encoded(job))
        #expect(back.list.count == 50_000 && back.a == nil && back.last == 9)
    }

    @Test("a missing field is named with its path")
    func missing() throws {
        struct Job: Codable { var items: [Thumbnail] }
        let bytes = try compact(json: #"{"items":[{"id":1,"name":"n","scale":1,"path":"p"}]}"#)
        #expect(throws: CodecError.missing(path: "items[0].isUrgent")) {
            try decoded(Job.self, bytes)
        }
    }

    @Test("a field of another kind is named with what was expected and found, not what it holds")
    func mismatch() throws {
        let bytes = try compact(json: #"{"id":"secret"}"#)
        let error = #expect(throws: CodecError.self) { try decoded(Thumbnail.self, bytes) }
        #expect(error == .mismatch(path: "id", expected: "Int", found: "text"))
        #expect(error?.description.contains("secret") == false)
        #expect(throws: CodecError.mismatch(path: "id", expected: "Int", found: "null")) {
            try decoded(Thumbnail.self, compact(json: #"{"id":null}"#))
        }
        #expect(throws: CodecError.mismatch(path: "[1]", expected: "String", found: "an integer")) {
            try decoded([String].self, compact(json: #"["a",1]"#))
        }
    }

    @Test("what a type's own code says about a value stays out of the error")
    func privateTexts() throws {
        enum Colour: String, Codable { case red }
        struct Job: Codable { var colour: Colour }
        let bytes = try compact(json: #"{"colour":"secret"}"#)
        let error = #expect(throws: CodecError.self) { try decoded(Job.self, bytes) }
        #expect(error?.description.contains("secret") == false)
        #expect(error?.description.contains("\"colour\"") == true)
    }

    @Test(
        "an integer that does not fit its type is an error",
        arguments: ["256", "-1", "1.5", "1e30"])
    func range(text: String) throws {
        #expect(throws: CodecError.outOfRange(path: "[0]", type: "UInt8")) {
            try decoded([UInt8].self, compact(json: "[\(text)]"))
        }
        #expect(throws: CodecError.outOfRange(path: "", type: "UInt8")) {
            try decoded(UInt8.self, compact(json: text))
        }
    }

    @Test("integers beyond 64 bits, or of the wrong sign, are errors and no traps")
    func bigIntegers() throws {
        #expect(try decoded(UInt64.self, compact(json: "18446744073709551615")) == .max)
        #expect(try decoded(Int64.self, compact(json: "-9223372036854775808")) == .min)
        #expect(throws: CodecError.self) {
            try decoded(Int64.self, compact(json: "9223372036854775808"))
        }
        #expect(throws: CodecError.self) {
            try decoded(Int64.self, compact(json: "-9223372036854775809"))
        }
        #expect(throws: CodecError.self) {
            try decoded(UInt64.self, compact(json: "18446744073709551616"))
        }
        #expect(try decoded(Double.self, compact(json: "18446744073709551616")) == 0x1p64)
        // -2^64, which only the compact form can say.
        let least = [0x3B] + [UInt8](repeating: 0xFF, count: 8)
        #expect(throws: CodecError.self) { try decoded(Int64.self, least) }
        #expect(try decoded(Double.self, least) == -0x1p64)
        #expect(try shown(least) == "-18446744073709551616")
    }

    @Test("a whole number serves as an integer however it is written, an integer as a number")
    func numbersAreNumbers() throws {
        #expect(try decoded([Int].self, compact(json: "[1.0,1e3,-0]")) == [1, 1_000, 0])
        #expect(try decoded([Double].self, compact(json: "[1,-2]")) == [1, -2])
        #expect(try decoded([Float].self, compact(json: "[1,0.1]")) == [1, 0.1])
        #expect(throws: CodecError.outOfRange(path: "", type: "Float")) {
            try decoded(Float.self, compact(json: "1e300"))
        }
    }

    @Test("an array that ends early names the element that is missing")
    func arrayEnds() throws {
        struct Pair: Decodable {
            init(from decoder: any Decoder) throws {
                var values = try decoder.unkeyedContainer()
                _ = try values.decode(Int.self)
                _ = try values.decode(Int.self)
            }
        }
        #expect(throws: CodecError.missing(path: "[1]")) { try decoded(Pair.self, [0x81, 1]) }
        // Bytes are an array of UInt8 and of nothing else.
        #expect(throws: CodecError.mismatch(path: "", expected: "an array", found: "bytes")) {
            try decoded(Pair.self, [0x41, 1])
        }
    }
}
