import Petiole

/// What each line of a command's output begins with: a text with places for parts of the input.
struct TagTemplate: Sendable {
    private enum Part: Sendable {
        case text([UInt8])
        case place(Place)
    }
    private var parts: [Part] = []
    private let rules: PlaceRules

    init(_ text: [UInt8], _ rules: PlaceRules) {
        self.rules = rules
        var plain: [UInt8] = []
        var index = 0
        while index < text.count {
            guard let (place, length) = Place.at(index, of: text, rules) else {
                plain.append(text[index])
                index += 1
                continue
            }
            if !plain.isEmpty { parts.append(.text(plain)) }
            plain = []
            parts.append(.place(place))
            index += length
        }
        if !plain.isEmpty { parts.append(.text(plain)) }
    }

    /// Without the tab behind it.
    /// - Parameter values: of the input, as far as the store keeps them.
    func tag(of values: [[UInt8]], job: JobID) -> [UInt8] {
        var tag: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): tag += text
            case .place(.number): tag += Array(job.description.utf8)
            case .place(.slot): break
            case .place(.value(.all, let form)):
                tag += values.map { form.value(of: $0) }.joined(separator: [UInt8(ascii: " ")])
            case .place(.value(let key, let form)):
                guard let index = rules.index(of: key), values.indices.contains(index) else {
                    continue
                }
                tag += form.value(of: values[index])
            }
        }
        return tag
    }
}
