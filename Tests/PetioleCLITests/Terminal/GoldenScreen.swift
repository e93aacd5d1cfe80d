import Foundation
import Testing

/// Screens that are compared with a picture of them in the source: without what differs from time to time.
enum GoldenScreen {
    /// Numbers of processes and times give way to a word of the same width, and so does the random part of a folder's name.
    static func masked(_ lines: [String], folder: String? = nil) -> [String] {
        lines.map { line in
            var line = line
            if let folder {
                let random = folder.suffix(6)
                line = line.replacingOccurrences(of: random, with: "XXXXXX")
            }
            // Three digits at least: no count in these pictures has so many.
            line = replaced(line, #" *\b[0-9]{3,7}(?= )"#, by: "pid")
            return replaced(line, #" *\b[0-9]+(\.[0-9])?(ms|s|m[0-9]{2}s)(?= |$)"#, by: "time")
        }
    }

    /// At the right end of what was there, so that columns stay where they are.
    private static func replaced(_ line: String, _ pattern: String, by word: String) -> String {
        var line = line
        var from = line.startIndex
        while let range = line.range(
            of: pattern, options: .regularExpression, range: from..<line.endIndex)
        {
            let width = line.distance(from: range.lowerBound, to: range.upperBound)
            let text = String(repeating: " ", count: max(0, width - word.count)) + word
            let start = line.distance(from: line.startIndex, to: range.lowerBound)
            line.replaceSubrange(range, with: text)
            from = line.index(line.startIndex, offsetBy: min(start + text.count, line.count))
        }
        return line
    }

    /// Compares row by row, so that a failure tells which.
    static func expect(
        _ lines: [String], are picture: String, _ location: SourceLocation = #_sourceLocation
    ) {
        var wanted = picture.split(separator: "\n", omittingEmptySubsequences: false).map {
            line in
            var line = String(line)
            while line.last == " " { line.removeLast() }
            return line
        }
        var found = lines
        while wanted.last == "" { wanted.removeLast() }
        while found.last == "" { found.removeLast() }
        #expect(
            found == wanted,
            "found:\n\(found.joined(separator: "\n"))\n", sourceLocation: location)
    }
}

extension GoldenScreen {
    /// Times of day and dates, which differ with the zone, give way to letters.
    static func withoutClocks(_ lines: [String]) -> [String] {
        lines.map { line in
            line.replacing(#/[0-9]{4}-[0-9]{2}-[0-9]{2} /#, with: "YYYY-MM-DD ")
                .replacing(#/[0-9]{2}:[0-9]{2}:[0-9]{2}/#, with: "HH:MM:SS")
        }
    }
}
