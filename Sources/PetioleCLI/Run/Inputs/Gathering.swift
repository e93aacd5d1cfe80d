/// Makes one input of several: `-n`, `-X`.
struct Gathering {
    private let form: InputShape.Gathering
    /// The most values that a command can take.
    private let mostValues: Int
    private var values: [[UInt8]] = []
    private var bytes = 0
    private var count = 0

    init(_ form: InputShape.Gathering, mostValues: Int) {
        self.form = form
        self.mostValues = mostValues
    }

    /// Takes an input, and adds what is full to the list.
    mutating func take(_ input: Input, _ full: inout [Input]) {
        let size: Int
        switch form {
        case .none:
            full.append(input)
            return
        case .count(let count): size = count
        case .fitting(let count): size = count
        }
        // It fails alone.
        if input.fault != nil {
            full.append(input)
            return
        }
        let more = input.first.count + 1 + input.others.reduce(0) { $0 + $1.count + 1 }
        if case .fitting = form,
            bytes + more > InputMark.limit || values.count + input.count > mostValues
        {
            finish(&full)
        }
        values += input.values
        bytes += more
        count += 1
        if count >= size { finish(&full) }
    }

    /// Adds what is left over.
    mutating func finish(_ full: inout [Input]) {
        if count > 0 { full.append(Input(values: values)) }
        (values, bytes, count) = ([], 0, 0)
    }
}
