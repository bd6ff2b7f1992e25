import Glibc
import NIOConcurrencyHelpers
import ProbeSupport
import Testing

@testable import StreamSink

/// A block of framed events, all of one byte: anything torn shows.
private func block(_ number: Int, events: Int, bytes: Int) -> [UInt8] {
    var framed: [UInt8] = []
    let event = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: bytes)
    for _ in 0..<events { event.withUnsafeBytes { EventFraming.append($0, to: &framed) } }
    return framed
}

@Suite struct EventFileWriterTests {
    @Test("a reader that polls as fast as it can finds whole events only, and none ever goes away")
    func polling() async throws {
        try await withDirectory { directory in
            let looks = NIOLockedValueBox(0)
            let isDone = NIOLockedValueBox(false)
            let poller = Task.detached {
                var most = 0
                while !isDone.withLockedValue({ $0 }) {
                    let count = try eventsOnce(in: directory).count
                    try #require(count >= most)
                    most = count
                    looks.withLockedValue { $0 += 1 }
                    await Task.yield()
                }
            }
            var writer = try EventFileWriter(directory: directory, rotateBytes: 1 << 20, rotateSeconds: 3600)
            var shown = 0
            // Until it was looked at often enough, whenever the machine gets round to it.
            while shown < 200 || looks.withLockedValue({ $0 }) < 30, shown < 2000 {
                shown += 1
                try writer.show(block(shown, events: 50, bytes: 700), now: UInt64(shown))
                await Task.yield()
            }
            isDone.withLockedValue { $0 = true }
            try await poller.value
            #expect(looks.withLockedValue { $0 } >= 30)
            writer.finish()
            #expect(try eventsOnce(in: directory).count == shown * 50)
        }
    }

    @Test("a writer killed at any instant leaves whole events only")
    func killed() async throws {
        try await withDirectory { directory in
            for round in 0..<25 {
                let probe = try #require(ProbeProcess(["files", directory]))
                _ = probe.kill(after: UInt32(15_000 + round * 977 % 9000))
                _ = try eventsOnce(in: directory)
            }
            #expect(try eventsOnce(in: directory).count > 25)
            var writer = try EventFileWriter(directory: directory, rotateBytes: 1 << 20, rotateSeconds: 3600)
            try writer.show(block(1, events: 1, bytes: 10), now: 0)
            writer.finish()
            let names = try EventDirectory.list(directory).filter { $0.hasPrefix(".") && $0.count > 2 }
            #expect(names.isEmpty)
        }
    }
}
