import Foundation
import Testing

@testable import Petiole

@Suite("Between the compact form and JSON") struct TranscodingTests {
    /// RFC 8949, appendix A: those examples that the compact form includes.
    static let included: [(hex: String, json: String)] = [
        ("00", "0"), ("01", "1"), ("0a", "10"), ("17", "23"), ("1818", "24"), ("1819", "25"),
        ("1864", "100"), ("1903e8", "1000"), ("1a000f4240", "1000000"),
        ("1b000000e8d4a51000", "1000000000000"),
        ("1bffffffffffffffff", "18446744073709551615"),
        ("3bffffffffffffffff", "-18446744073709551616"), ("20", "-1"), ("29", "-10"),
        ("3863", "-100"), ("3903e7", "-1000"), ("f90000", "0.0"), ("f98000", "-0.0"),
        ("f93c00", "1.0"), ("fb3ff199999999999a", "1.1"), ("f93e00", "1.5"), ("f97bff", "65504.0"),
        ("fa47c35000", "100000.0"), ("fa7f7fffff", "3.4028235e+38"),
        ("fb7e37e43c8800759c", "1e+300"), ("f90001", "5.9604645e-08"),
        ("f90400", "6.1035156e-05"), ("f9c400", "-4.0"), ("fbc010666666666666", "-4.1"),
        ("f97c00", "\"Infinity\""), ("f97e00", "\"NaN\""), ("f9fc00", "\"-Infinity\""),
        ("fa7f800000", "\"Infinity\""), ("fa7fc00000", "\"NaN\""), ("faff800000", "\"-Infinity\""),
        ("fb7ff0000000000000", "\"Infinity\""), ("fb7ff8000000000000", "\"NaN\""),
        ("fbfff0000000000000", "\"-Infinity\""), ("f4", "false"), ("f5", "true"), ("f6", "null"),
        ("40", #"{"$bytes":""}"#), ("4401020304", #"{"$bytes":"AQIDBA=="}"#), ("60", "\"\""),
        ("6161", "\"a\""), ("6449455446", "\"IETF\""), ("62225c", #""\"\\""#), ("62c3bc", "\"ü\""),
        ("63e6b0b4", "\"水\""), ("64f0908591", "\"\u{10151}\""), ("80", "[]"),
        ("83010203", "[1,2,3]"), ("8301820203820405", "[1,[2,3],[4,5]]"),
        (
            "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
            "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"
        ),
        ("a0", "{}"), ("a26161016162820203", #"{"a":1,"b":[2,3]}"#),
        ("826161a161626163", #"["a",{"b":"c"}]"#),
        (
            "a56161614161626142616361436164614461656145",
            #"{"a":"A","b":"B","c":"C","d":"D","e":"E"}"#
        ),
    ]

    /// Those it leaves out: tags, simple values, keys that are no text, indefinite lengths.
    static let excluded = [
        "c249010000000000000000", "c349010000000000000000", "f7", "f0", "f8ff",
        "c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "c1fb41d452d9e8200000",
        "d74401020304", "d818456449455446", "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
        "a201020304", "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff",
        "9f018202039f0405ffff", "83018202039f0405ff", "83019f0203ff820405",
        "bf61610161629f0203ffff", "826161bf61626163ff", "bf6346756ef563416d7421ff",
    ]

    @Test("the examples of RFC 8949 that the form includes are shown as JSON", arguments: included)
    func vectors(hex: String, json: String) throws {
        #expect(try shown(bytes(hex: hex)) == json)
    }

    @Test("the examples of RFC 8949 that the form leaves out are errors", arguments: excluded)
    func excludedVectors(hex: String) {
        #expect(throws: CodecError.self) { try shown(bytes(hex: hex)) }
        #expect(throws: CodecError.self) { try decoded(Shape.self, bytes(hex: hex)) }
    }

    @Test("what is written takes the shortest head, and four bytes for a number where they do")
    func shortest() throws {
        for (hex, json) in Self.included where !json.contains("\"NaN") && !json.contains("Inf") {
            if hex.hasPrefix("f9") || hex.hasPrefix("fa7f") || hex.hasPrefix("3bff") { continue }
            #expect(try compact(json: json) == bytes(hex: hex))
        }
        #expect(try encoded(1.5) == bytes(hex: "fa3fc00000"))
        #expect(try encoded(1.1) == bytes(hex: "fb3ff199999999999a"))
        #expect(try encoded(1_000) == bytes(hex: "1903e8"))
    }

    @Test("half floats have the value that Float16 gives them")
    func halves() {
        #if !(os(macOS) && arch(x86_64))
            for bits in UInt16.min ... .max {
                let reference = Float(Float16(bitPattern: bits))
                let ours = CompactForm.half(bits)
                #expect(ours == reference || ours.isNaN && reference.isNaN)
            }
        #endif
    }

    @Test("control characters, and marks that turn text around, are escaped")
    func escapes() throws {
        let text =
            "\u{0}\u{8}\t\n\u{C}\r\u{1B}\u{7F}\u{85}\u{9B}\u{A0}\u{61C}\u{200E}\u{2028}"
            + "\u{202E}\u{2066}\u{2069}\u{2070}"
        #expect(
            try shown(encoded(text))
                == #""\u0000\b\t\n\f\r\u001b\u007f\u0085\u009b"# + "\u{A0}"
                + #"\u061c\u200e\u2028\u202e\u2066\u2069"# + "\u{2070}\"")
        #expect(try decoded(String.self, compact(json: shown(encoded(text)))) == text)
    }

    @Test("text longer than the bound is an error, at the bound it is whole")
    func bound() throws {
        let values: [Shape] = [
            .text(String(repeating: "a", count: 50)), .text(String(repeating: "\u{1}", count: 9)),
            .array(Array(repeating: .integer(100), count: 20)), .object(["key": .number(0.5)]),
        ]
        for value in values {
            let bytes = try encoded(value)
            let length = try shown(bytes).utf8.count
            #expect(try shown(bytes, maximumBytes: length).utf8.count == length)
            for bound in [-1, 0, 1, length - 1] {
                #expect(throws: CodecError.tooLarge(limit: bound)) {
                    try shown(bytes, maximumBytes: bound)
                }
            }
        }
        let bytes = try encoded([UInt8](repeating: 1, count: 100))
        let length = try shown(bytes).utf8.count
        #expect(try shown(bytes, maximumBytes: length).utf8.count == length)
        #expect(throws: CodecError.tooLarge(limit: length - 1)) {
            try shown(bytes, maximumBytes: length - 1)
        }
    }

    @Test("bytes go to JSON and back, for every length of the last group")
    func base64() throws {
        for length in 0...50 {
            let value = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 200) }
            let text = try shown(encoded(value))
            #expect(text == "{\"$bytes\":\"\(Data(value).base64EncodedString())\"}")
            #expect(try compact(json: text) == encoded(value))
        }
        for text in ["A", "AA", "AAA", "A===", "AB==", "AAB=", "A=AA", "AA=A", "A-AA", "=AAA"] {
            let json = "{\"$bytes\":\"\(text)\"}"
            #expect(try shown(compact(json: json)) == json, "not base64, so it stays a map")
        }
        // The typed codec has no such rule: a field may have this name.
        let map = ["$bytes": "AQID"]
        #expect(try decoded([String: String].self, encoded(map, .json), .json) == map)
    }

    @Test(
        "what is not JSON is refused",
        arguments: [
            "", " ", "nul", "tru", "True", "+1", "01", "-01", "-", "1.", ".5", "1e", "1e+", "0x1",
            "NaN", "Infinity", "1e400", "-1e400", "'a'", "\"a", "\"\n\"", #""\x""#, #""\u12""#,
            #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800a""#, "[", "]", "[1", "[1,",
            "[1,]",
            "[,1]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "[1]]",
            "// c\n1", "\u{FEFF}1", "1,", "\u{A0}1",
        ])
    func notJSON(text: String) {
        #expect(throws: CodecError.self) { try compact(json: text) }
    }

    @Test(
        "numbers of JSON are the nearest Double",
        arguments: [
            "0.1", "1e22", "1e23", "9007199254740993.0", "123456789012345678901234567890", "1e-400",
            "2.2250738585072011e-308", "5e-324", "1.7976931348623157e308", "0.30000000000000004",
            "9007199254740992e-22", "1e-22", "100000000000000000000000e-23", "-0.0", "-0", "1E5",
        ])
    func nearest(text: String) throws {
        let expected = try #require(Double(text))
        #expect(try decoded(Double.self, compact(json: text)).bitPattern == expected.bitPattern)
    }

    @Test("escapes of JSON become the characters they stand for")
    func unescape() throws {
        let json = #""\"\\\/\b\f\n\r\t\u0041\u00e4\u6f22\ud83d\ude00 plain and long enough""#
        let expected = "\"\\/\u{8}\u{C}\n\r\tAä漢😀 plain and long enough"
        #expect(try decoded(String.self, compact(json: json)) == expected)
        #expect(try decoded(String.self, Array(json.utf8), .json) == expected)
    }

    @Test("white space may stand between all parts")
    func space() throws {
        let json = " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } , \"c\" : [ ] } \n"
        #expect(try shown(compact(json: json)) == #"{"a":[1,2],"b":{},"c":[]}"#)
    }

    @Test("after an error the writer holds what it held")
    func failureLeavesNothing() {
        var bytes = ByteWriter()
        bytes.append(5)
        let text = Array("[1,2,{\"a\":".utf8)
        _ = text.withUnsafeBytes { text in
            #expect(throws: CodecError.self) { try jsonToCompact(text, into: &bytes) }
        }
        #expect(bytes.withBytes { Array($0) } == [5])
    }
}
