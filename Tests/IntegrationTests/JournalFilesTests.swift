import Foundation
import TestSupport
import Testing

extension Integration {
    /// What the real service makes of the files that it finds.
    @Suite("The journal's files from outside")
    struct JournalFilesTests {
        /// `ADTRACK_DAMAGES` says how many variants.
        static let damages: Range<Int> = {
            let wanted = ProcessInfo.processInfo.environment["ADTRACK_DAMAGES"].flatMap(Int.init)
            return 0..<max(1, wanted ?? 45)
        }()

        /// Of the backlog: `ADTRACK_BACKLOG=10GiB`.
        static let backlog: Int = {
            let text = ProcessInfo.processInfo.environment["ADTRACK_BACKLOG"] ?? "256MiB"
            let number = Int(text.prefix { $0.isNumber }) ?? 256
            return number << (text.hasSuffix("GiB") ? 30 : 20)
        }()

        /// Every file of a directory and what is in it.
        private func contents(_ directory: String) throws -> [String: Data] {
            var contents: [String: Data] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
                let path = directory + "/" + name
                if let data = FileManager.default.contents(atPath: path) { contents[name] = data }
            }
            return contents
        }

        private func blocked(_ directory: TestDirectory, _ arguments: [String] = []) async throws -> Service {
            try directory.write("in the way", to: "events")
            return try await Service.start(Service.Setup(arguments), in: directory)
        }

        // MARK: Damage

        /// A frame of a segment, as the format documents it: at 4096 and then one behind the other, a 40-byte header with
        /// the length at 8 and the count at 12.
        private struct Frame {
            var bytes: Range<Int>
            var count: Int
        }

        private func frames(_ segment: Data) -> [Frame] {
            var frames: [Frame] = []
            var place = 4096
            func number(_ at: Int, _ bytes: Int) -> Int {
                (0..<bytes).reduce(0) { $0 | Int(segment[at + $1]) << (8 * $1) }
            }
            while place + 40 <= segment.count, number(place, 4) == 0x424A_4441 {
                let end = place + (40 + number(place + 8, 4) + 7) / 8 * 8
                frames.append(Frame(bytes: place..<end, count: number(place + 12, 2)))
                place = end
            }
            return frames
        }

        /// Flips a bit, cuts the file, or zeroes a block; the places that changed.
        private func damage(_ data: inout Data, _ variant: Int) -> Range<Int> {
            let before = data
            let used = frames(data).last?.bytes.upperBound ?? data.count
            // Mostly where something stands.
            let place = Int.random(in: 0..<(variant % 5 == 0 ? data.count : min(used, data.count)))
            switch variant % 3 {
            case 0: data[place] ^= 1 << UInt8.random(in: 0...7)
            case 1:
                data.removeSubrange(place...)
                return place..<before.count
            default:
                let block = place / 4096 * 4096..<min(place / 4096 * 4096 + 4096, data.count)
                data.replaceSubrange(block, with: [UInt8](repeating: 0, count: block.count))
            }
            let changed = before.indices.filter { before[$0] != data[$0] }
            return (changed.first ?? 0)..<((changed.last ?? -1) + 1)
        }

        @Test("damage anywhere costs the batches it touches at most, is counted exactly, and its bytes are kept")
        func damage() async throws {
            try await TestDirectory.with { original async throws in
                let service = try await blocked(original, ["--journal-max-bytes", "1MiB"])
                let connections = try (0..<4).map { _ in try RawConnection(port: service.port) }
                var accepted: Set<String> = []
                for round in 0..<60 {
                    let padding = String(repeating: "x", count: 20 + round * 53 % 2000)
                    for connection in connections {
                        connection.send(RawConnection.request("/event/212312?a=\(padding)"))
                    }
                    for connection in connections {
                        accepted.insert(try #require(try connection.response().json["messageId"]?.text))
                    }
                }
                #expect(try await service.stop() == .status(0))
                for variant in Self.damages { try await damage(original, accepted, variant) }
            }
        }

        private func damage(_ original: TestDirectory, _ accepted: Set<String>, _ variant: Int) async throws {
            try await TestDirectory.with { directory async throws in
                try FileManager.default.copyItem(atPath: original.journal, toPath: directory.journal)
                let names = try FileManager.default.contentsOfDirectory(atPath: directory.journal).filter {
                    $0.hasSuffix(".seg") || variant % 7 == 0 && $0.contains(".cursor")
                }
                let name = try #require(names.sorted().randomElement())
                var data = try #require(FileManager.default.contents(atPath: directory.journal + "/" + name))
                let touched = name.hasSuffix(".seg") ? frames(data) : []
                let range = damage(&data, variant)
                try data.write(to: URL(fileURLWithPath: directory.journal + "/" + name))
                let most = touched.filter { $0.bytes.overlaps(range) }.reduce(0) { $0 + $1.count }
                let what: Comment = "variant \(variant): \(name) at \(range)"

                // The sink is another one by name: it gets all there is.
                let service = try await Service.start(Service.Setup(["--journal-max-bytes", "1MiB"]), in: directory)
                do {
                    #expect(try await eventually(within: .seconds(20)) { try Ledger(service).pending == 0 }, what)
                    let ledger = try Ledger(service)
                    #expect(ledger.balances, what)
                    #expect(ledger.appended == Double(accepted.count), what)
                    #expect(Int(ledger.dropped) <= most, what)
                    #expect(try await service.stop() == .status(0), what)
                    let delivered = try EventFiles.ids(directory.events)
                    #expect(accepted.subtracting(delivered).count == Int(ledger.dropped), what)
                    #expect(Set(delivered).isSubset(of: accepted) && delivered.count == Set(delivered).count, what)
                    let isCut = range.upperBound > data.count
                    guard ledger.dropped > 0, !isCut else { return }
                    let kept = try FileManager.default.contentsOfDirectory(atPath: directory.journal + "/quarantine")
                    #expect(kept.contains { $0.hasSuffix(".damaged") }, what)
                } catch {
                    await service.process.end()
                    throw error
                }
            }
        }

        // MARK: Who may use it

        @Test("a second service on the same journal is refused with a sentence, and nothing is touched")
        func second() async throws {
            try await Service.with { service async throws in
                #expect(try service.get("/event/212312").status == 200)
                #expect(try await eventually(within: .seconds(10)) { try Ledger(service).pending == 0 })
                // Positions are saved within a second of their moving.
                try await Task.sleep(for: .milliseconds(1500))
                let before = try contents(service.directory.journal)
                let second = try Service.launch(Service.Setup(), in: service.directory)
                #expect(try await second.exit() == .status(1))
                #expect(second.log.contains("is in use by another process"))
                #expect(try contents(service.directory.journal) == before)
                #expect(try service.get("/event/212312").status == 200)
            }
        }

        @Test("a journal of a newer format is refused with a sentence, and nothing is touched")
        func newer() async throws {
            try await TestDirectory.with { directory async throws in
                let service = try await blocked(directory)
                for _ in 0..<10 { #expect(try service.get("/event/212312").status == 200) }
                #expect(try await service.stop() == .status(0))
                let names = try FileManager.default.contentsOfDirectory(atPath: directory.journal)
                let segment = directory.journal + "/" + (try #require(names.first { $0.hasSuffix(".seg") }))
                var data = try #require(FileManager.default.contents(atPath: segment))
                data[8] = 2
                try data.write(to: URL(fileURLWithPath: segment))
                let before = try contents(directory.journal)
                let refused = try Service.launch(Service.Setup(), in: directory)
                #expect(try await refused.exit() == .status(1))
                #expect(refused.log.contains("format version 2"))
                #expect(try contents(directory.journal) == before)
            }
        }

        // MARK: Size

        /// The most memory that a process had, in bytes.
        private func peak(_ service: Service) throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(service.process.id)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
            return try #require(Int(line.filter(\.isNumber))) << 10
        }

        @Test("a backlog of any size starts within a second per GiB, and takes no memory")
        func backlogs() async throws {
            try await TestDirectory.with { directory async throws in
                let bound = ["--journal-max-bytes", "\(Self.backlog * 2)", "--durability", "write"]
                let empty = try await TestDirectory.with { other async throws in
                    let service = try await blocked(other, bound)
                    for _ in 0..<20 { #expect(try service.get("/event/212312").status == 200) }
                    let peak = try peak(service)
                    await service.process.end()
                    return peak
                }
                let ids = try directory.write("/event/212312?a=" + String(repeating: "x", count: 6_000), to: "paths")
                var service = try await blocked(directory, bound)
                let load = try directory.run(
                    Binary.path(),
                    [
                        "load", service.url, "--rate", "30000", "--duration", "1h", "--connections", "16", "--pipeline",
                        "8", "--ids", ids, "--json", "--quiet",
                    ]
                )
                let isLarge = try await eventually(within: .seconds(3600)) {
                    try Metrics(service).value("adtrack_journal_bytes") ?? 0 > Double(Self.backlog)
                }
                await load.end()
                #expect(isLarge)
                await service.process.end()
                let began = ContinuousClock.now
                service = try await Service.start(Service.Setup(bound), in: directory)
                let took = ContinuousClock.now - began
                do {
                    for _ in 0..<20 { #expect(try service.get("/event/212312").status == 200) }
                    let grown = try peak(service) - empty
                    // Half a second is the start of the process itself.
                    #expect(took < .seconds(Double(Self.backlog) / Double(1 << 30) + 0.5), "the start took \(took)")
                    #expect(grown <= 32 << 20, "\(grown >> 20) MiB more than without a backlog")
                    print("backlog of \(Self.backlog >> 20) MiB: start \(took), \(grown >> 20) MiB more")
                    await service.process.end()
                } catch {
                    await service.process.end()
                    throw error
                }
            }
        }

        @Test("the books can be read over a connection that closes")
        func closingConnection() async throws {
            try await Service.with { service async throws in
                for page in ["/ledger", "/metrics", "/health/ready"] {
                    let connection = try RawConnection(port: service.managementPort, timeout: .seconds(5))
                    #expect(try connection.exchange(page, headers: ["Connection: close"]).status == 200)
                    #expect(connection.ending(within: .seconds(5)) == .closed)
                }
            }
        }
    }
}
