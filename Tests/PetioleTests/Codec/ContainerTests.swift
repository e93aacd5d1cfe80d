import Foundation
import Testing

@testable import Petiole

@Suite("Codable containers") struct ContainerTests {
    private enum Key: String, CodingKey { case a, b, c, list }

    @Test("nested containers may be filled in any order, after values that follow them")
    func interleaved() throws {
        struct Job: Encodable {
            func encode(to encoder: any Encoder) throws {
                var outer = encoder.container(keyedBy: Key.self)
                var a = outer.nestedContainer(keyedBy: Key.self, forKey: .a)
                var list = outer.nestedUnkeyedContainer(forKey: .list)
                try outer.encode(1, forKey: .b)
                try list.encode("x")
                try a.encode(2, forKey: .c)
                var inner = list.nestedContainer(keyedBy: Key.self)
                try list.encode("y")
                for key in [Key.a, .b] { try inner.encode(3, forKey: key) }
                try a.encode([4], forKey: .list)
                try outer.encode("end", forKey: .c)
            }
        }
        let text = try shown(encoded([Job(), Job()]))
        let one = #"{"a":{"c":2,"list":[4]},"list":["x",{"a":3,"b":3},"y"],"b":1,"c":"end"}"#
        #expect(text == "[\(one),\(one)]")
        #expect(try String(decoding: encoded(Job(), .json), as: UTF8.self) == one)
    }

    @Test("a container asked for twice is one container, and two kinds of one value are refused")
    func twice() throws {
        struct Twice: Encodable {
            func encode(to encoder: any Encoder) throws {
                var one = encoder.container(keyedBy: Key.self)
                try one.encode(1, forKey: .a)
                var two = encoder.container(keyedBy: Key.self)
                try two.encode(2, forKey: .b)
            }
        }
        struct Mixed: Encodable {
            func encode(to encoder: any Encoder) throws {
                var one = encoder.container(keyedBy: Key.self)
                try one.encode(1, forKey: .a)
                var two = encoder.unkeyedContainer()
                try two.encode(2)
            }
        }
        #expect(try shown(encoded(Twice())) == #"{"a":1,"b":2}"#)
        #expect(throws: CodecError.self) { try encoded(Mixed()) }
        #expect(throws: CodecError.self) { try encoded([Mixed()]) }
    }

    @Test("a class and its superclass come back through superEncoder")
    func classes() throws {
        class Base: Codable {
            var name: String
            init(name: String) { self.name = name }
        }
        final class Derived: Base {
            var size: Int
            init(name: String, size: Int) {
                self.size = size
                super.init(name: name)
            }
            private enum Keys: String, CodingKey { case size }
            required init(from decoder: any Decoder) throws {
                let values = try decoder.container(keyedBy: Keys.self)
                size = try values.decode(Int.self, forKey: .size)
                try super.init(from: values.superDecoder())
            }
            override func encode(to encoder: any Encoder) throws {
                var values = encoder.container(keyedBy: Keys.self)
                let above = values.superEncoder()
                try values.encode(size, forKey: .size)
                try super.encode(to: above)
            }
        }
        let bytes = try encoded(Derived(name: "n", size: 3))
        #expect(try shown(bytes) == #"{"super":{"name":"n"},"size":3}"#)
        let back = try decoded(Derived.self, bytes)
        #expect(back.name == "n" && back.size == 3)
    }

    @Test("a type that writes nothing is an empty map, and is read from one")
    func empty() throws {
        struct Empty: Codable, Equatable {}
        #expect(try encoded(Empty()) == [0xA0])
        #expect(try decoded(Empty.self, [0xA0]) == Empty())
        #expect(try decoded([Empty].self, encoded([Empty(), Empty()])).count == 2)
    }

    @Test("a key written twice is refused, whether the map is small or large", arguments: [2, 300])
    func keyTwice(count: Int) {
        struct Job: Encodable {
            let count: Int
            func encode(to encoder: any Encoder) throws {
                var values = encoder.container(keyedBy: CodecKey.self)
                for index in 0..<count - 1 {
                    try values.encode(index, forKey: CodecKey(stringValue: "k\(index)"))
                }
                try values.encode(0, forKey: CodecKey(stringValue: "k0"))
            }
        }
        #expect(throws: CodecError.unsupported(path: "k0", reason: "the key is written twice")) {
            try encoded(Job(count: count))
        }
    }

    @Test("a value that fails and is caught leaves nothing in its container")
    func caught() throws {
        struct Bad: Encodable {
            func encode(to encoder: any Encoder) throws {
                var values = encoder.container(keyedBy: Key.self)
                try values.encode("half", forKey: .a)
                throw CancellationError()
            }
        }
        struct Job: Encodable {
            func encode(to encoder: any Encoder) throws {
                var values = encoder.container(keyedBy: Key.self)
                #expect(throws: CancellationError.self) { try values.encode(Bad(), forKey: .a) }
                var list = values.nestedUnkeyedContainer(forKey: .list)
                #expect(throws: CancellationError.self) { try list.encode(Bad()) }
                try list.encode(7)
                try values.encode(1, forKey: .a)
            }
        }
        #expect(try shown(encoded(Job())) == #"{"list":[7],"a":1}"#)
    }

    @Test("a container kept beyond its payload throws, and disturbs no other")
    func kept() throws {
        final class Shelf {
            var encoder: (any Encoder)?
            var container: KeyedEncodingContainer<Key>?
            var decoder: (any Decoder)?
            var map: KeyedDecodingContainer<Key>?
        }
        struct Job: Codable {
            var shelf = Shelf()
            init() {}
            init(from decoder: any Decoder) throws {
                shelf.decoder = decoder
                shelf.map = try decoder.container(keyedBy: Key.self)
            }
            func encode(to encoder: any Encoder) throws {
                shelf.encoder = encoder
                shelf.container = encoder.container(keyedBy: Key.self)
                try shelf.container?.encode(1, forKey: .a)
            }
        }
        let job = Job()
        let bytes = try encoded(job)
        let back = try decoded(Job.self, bytes)
        #expect(try encoded(Thumbnail.example) == encoded(Thumbnail.example))
        #expect(throws: CodecError.self) { try job.shelf.container?.encode(2, forKey: .b) }
        #expect(throws: CodecError.self) {
            var values = try #require(job.shelf.encoder).unkeyedContainer()
            try values.encode(1)
        }
        #expect(throws: CodecError.self) { try back.shelf.map?.decode(Int.self, forKey: .a) }
        #expect(throws: CodecError.self) { try back.shelf.decoder?.unkeyedContainer() }
        #expect(back.shelf.map?.allKeys.isEmpty == true)
        #expect(back.shelf.map?.contains(.a) == false)
        #expect(back.shelf.map?.codingPath.isEmpty == true)
    }

    @Test("what was written beside a value that fails is freed", arguments: [1, 2, 80])
    func failureFrees(depth: Int) {
        final class Watch {
            weak var writing: CompactWriting?
        }
        struct Job: Encodable {
            let depth: Int
            let watch: Watch

            func encode(to encoder: any Encoder) throws {
                var inner = encoder
                for _ in 0..<depth {
                    var values = inner.container(keyedBy: Key.self)
                    inner = values.superEncoder()
                    try values.encode(1, forKey: .a)
                }
                watch.writing = (inner as? CompactEncoder)?.writing
                #expect(watch.writing != nil)
                throw CancellationError()
            }
        }
        let job = Job(depth: depth, watch: Watch())
        #expect(throws: CodecError.self) { try encoded([job]) }
        #expect(job.watch.writing == nil)
    }

    @Test("coding paths tell where the code is, both ways")
    func paths() throws {
        struct Spy: Codable {
            static func check(_ path: [any CodingKey]) throws {
                guard CodecError.path(path) == "a.list[1]" else { throw CancellationError() }
            }
            init() {}
            init(from decoder: any Decoder) throws { try Self.check(decoder.codingPath) }
            func encode(to encoder: any Encoder) throws { try Self.check(encoder.codingPath) }
        }
        struct Job: Encodable {
            func encode(to encoder: any Encoder) throws {
                var values = encoder.container(keyedBy: Key.self)
                var a = values.nestedContainer(keyedBy: Key.self, forKey: .a)
                try values.encode(1, forKey: .b)
                var list = a.nestedUnkeyedContainer(forKey: .list)
                try list.encodeNil()
                try list.encode(Spy())
            }
        }
        struct Outer: Decodable { var a: Inner }
        struct Inner: Decodable { var list: [Spy?] }
        #expect(try decoded(Outer.self, encoded(Job())).a.list.count == 2)
    }

    @Test("payloads encoded while another is being encoded are whole")
    func reentrant() throws {
        struct Wrapped: Codable, Equatable {
            var inner: Thumbnail
            init(inner: Thumbnail) { self.inner = inner }
            init(from decoder: any Decoder) throws {
                let bytes = try decoder.singleValueContainer().decode([UInt8].self)
                inner = try decoded(Thumbnail.self, bytes)
            }
            func encode(to encoder: any Encoder) throws {
                var value = encoder.singleValueContainer()
                try value.encode(encoded(inner))
            }
        }
        let jobs = [Wrapped(inner: .example), Wrapped(inner: .example)]
        #expect(try decoded([Wrapped].self, encoded(jobs)) == jobs)
    }
}
