import ArgumentParser
struct Cancel: AsyncParsableCommand {}
