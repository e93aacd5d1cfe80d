import Foundation
import RegexBuilder

/// Finds public declarations, line by line; imports and extensions are none.
enum PublicDeclarations {
    static func indices(in lines: [Substring]) -> [Int] {
        let attributes = /^\s*(?:@\w+(?:\([^)]*\))?\s+)*/
        let modifiers = /(?:(?:static|final|nonisolated|indirect|mutating|borrowing|override)\s+)*/
        let access = /(?:public|open(?=\s+(?:class|var|func)))(?:\(set\)\s|\s+(?!import|extension))/
        let declaration = Regex {
            attributes
            modifiers
            access
        }
        return lines.indices.filter { lines[$0].contains(declaration) }
    }

    /// Those with no `///` above them; attributes may stand between.
    static func undocumented(in lines: [Substring]) -> [Int] {
        indices(in: lines).filter { index in
            let above = lines[..<index].last { line in
                !line.trimmingCharacters(in: .whitespaces).hasPrefix("@")
            }
            return above?.trimmingCharacters(in: .whitespaces).hasPrefix("///") != true
        }
    }
}
