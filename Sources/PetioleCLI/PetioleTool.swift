import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The tool: finds the command that was asked for, runs it, and turns what is thrown into a sentence and an exit status.
@main
struct PetioleTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "petiole",
        abstract:
            "Runs jobs that survive: what was accepted is on the disk, and goes on after a crash.",
        discussion: """
            The store is a directory: the one given with --store, the one named by PETIOLE_STORE, or the nearest \
            .petiole from the working directory upward. `run` and `add` make ./.petiole when there is none.

            Exit status: 0 done; 64 wrong usage; 65 the store is damaged; 66 no such store or job; 74 the disk or \
            the system failed; 75 not now, try again later; 77 not permitted. `run` has its own: 0 all succeeded, 1 \
            to 100 so many failed, 101 more did; 125 petiole itself failed, 127 no such program; 128 + n stopped by \
            signal n.

            EXAMPLES
              petiole run --bar 'gzip -9 {}' ::: logs/*.log
              petiole add -- make -C docs html
              petiole worker
              petiole status
            """,
        version: Version.text,
        subcommands: [
            Run.self, Add.self, Worker.self, Cancel.self, Status.self, Jobs.self, Show.self,
            Prune.self, Doctor.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot(Arguments.forParser)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Standard.output.flush()
        } catch let failure as Failure {
            failure.end()
        } catch let error as StoreError {
            Failure(error).end()
        } catch let error as RunnerError {
            Failure(error).end()
        } catch let error as EnqueueError {
            Failure(error).end()
        } catch {
            exit(withError: error)
        }
    }
}

/// What `--version` prints.
enum Version {
    static let text = "0.1.0"
}
