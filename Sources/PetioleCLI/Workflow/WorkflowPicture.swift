import Petiole

/// A workflow as a graph of boxes and arrows, in the languages of programs that draw such graphs.
struct WorkflowPicture {
    private struct Box {
        let id: String
        let name: String
        let state: WorkflowStep.State
        let facts: String
        let arrows: [Arrow]
        let inner: [Part]
    }
    private struct Arrow {
        let from: String
        /// Of a callback, when it runs.
        let label: String?
    }
    private struct Part {
        let id: String
        let title: String
        let boxes: [Box]
    }
    private let whole: Part

    init(_ tree: WorkflowTree) { whole = Self.part(tree, isNested: false) }

    private static func part(_ tree: WorkflowTree, isNested: Bool) -> Part {
        let summary = tree.summary
        let boxes = summary.steps.enumerated().map { place, step in
            var facts = WorkflowDrawing.state(step)
            if step.jobs != 1 {
                facts += ", \(grouped(step.ended)) of \(grouped(step.jobs)) done"
                if step.failed > 0 { facts += ", \(grouped(step.failed)) failed" }
            }
            let label: String? =
                switch step.condition {
                case .always: nil
                case .onSuccess: "on success"
                case .onFailure: "on failure"
                case .onEnd: "at the end"
                }
            return Box(
                id: id(summary, place), name: step.name, state: step.state, facts: facts,
                arrows: step.after.map { Arrow(from: id(summary, $0), label: label) },
                inner: (tree.inner[place] ?? []).map { self.part($0, isNested: true) })
        }
        let title =
            isNested
            ? "\(summary.id): \(WorkflowDrawing.head(summary, nested: true))"
            : WorkflowDrawing.head(summary)
        return Part(id: "w\(summary.id)", title: title, boxes: boxes)
    }

    private static func id(_ summary: WorkflowSummary, _ place: Int) -> String {
        "w\(summary.id)_\(place)"
    }

    private static func fill(_ state: WorkflowStep.State) -> String? {
        switch state {
        case .waiting: nil
        case .started: "#cfe2ff"
        case .succeeded: "#d1e7dd"
        case .failed: "#f8d7da"
        case .cancelled: "#e2e3e5"
        }
    }

    // MARK: Graphviz

    /// Lines of a `digraph`.
    var dot: [String] {
        ["digraph {", "  label=\(Self.dotText(whole.title)); labelloc=t;"]
            + ["  node [shape=box, style=filled, fillcolor=white];"]
            + Self.dot(whole, indent: "  ") + ["}"]
    }

    private static func dot(_ part: Part, indent: String) -> [String] {
        part.boxes.flatMap { box in
            let label = dotText(box.name, box.facts)
            let fill = fill(box.state).map { ", fillcolor=\"\($0)\"" } ?? ""
            var lines = ["\(indent)\(box.id) [label=\(label)\(fill)];"]
            for arrow in box.arrows {
                let style = arrow.label.map { " [style=dashed, label=\(dotText($0))]" } ?? ""
                lines.append("\(indent)\(arrow.from) -> \(box.id)\(style);")
            }
            for inner in box.inner {
                lines.append("\(indent)subgraph cluster_\(inner.id) {")
                lines.append("\(indent)  label=\(dotText(inner.title));")
                lines += dot(inner, indent: indent + "  ")
                lines.append("\(indent)}")
                if let first = inner.boxes.first {
                    lines.append(
                        "\(indent)\(box.id) -> \(first.id) [style=dotted, arrowhead=none];")
                }
            }
            return lines
        }
    }

    /// A quoted label. A backslash begins an escape there that would stand for a part of the graph.
    private static func dotText(_ lines: String...) -> String {
        let escaped = lines.map { line in
            // By bytes: a quote with an accent behind it is one character.
            let bytes = visible(line).utf8.flatMap {
                [0x22, 0x5C].contains($0) ? [0x5C, $0] : [$0]
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        return "\"" + escaped.joined(separator: "\\n") + "\""
    }

    // MARK: Mermaid

    /// Lines of a flowchart.
    var mermaid: [String] {
        var classes: [String] = []
        for state in WorkflowStep.State.allCases {
            if let fill = Self.fill(state) {
                classes.append("  classDef \(state.rawValue) fill:\(fill),color:#000")
            }
        }
        // A title has no form in which all text may stand, so it is a remark.
        return ["flowchart TD", "  %% \(Self.remark(whole.title))"]
            + Self.mermaid(whole, indent: "  ") + classes
    }

    private static func mermaid(_ part: Part, indent: String) -> [String] {
        part.boxes.flatMap { box in
            let style = fill(box.state) == nil ? "" : ":::\(box.state.rawValue)"
            let label = "\(mermaidText(box.name))<br/>\(mermaidText(box.facts))"
            var lines = ["\(indent)\(box.id)[\"\(label)\"]\(style)"]
            for arrow in box.arrows {
                let form = arrow.label.map { "-. \"\(mermaidText($0))\" .->" } ?? "-->"
                lines.append("\(indent)\(arrow.from) \(form) \(box.id)")
            }
            for inner in box.inner {
                lines.append("\(indent)subgraph \(inner.id)[\"\(mermaidText(inner.title))\"]")
                lines += mermaid(inner, indent: indent + "  ")
                lines.append("\(indent)end")
                lines.append("\(indent)\(box.id) -.- \(inner.id)")
            }
            return lines
        }
    }

    /// Text in quotes. What is no letter, digit or plain mark becomes an entity: quotes end the text, and others begin markup.
    private static func mermaidText(_ text: String) -> String {
        var result = ""
        for scalar in visible(text).unicodeScalars {
            let isPlain =
                scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                || " .,:-_()/%".unicodeScalars.contains(scalar)
            if isPlain {
                result.unicodeScalars.append(scalar)
            } else {
                result += "#\(scalar.value);"
            }
        }
        return result
    }

    /// Braces behind `%%` would be settings.
    private static func remark(_ text: String) -> String {
        visible(text).replacing("{", with: "(").replacing("}", with: ")")
    }
}
