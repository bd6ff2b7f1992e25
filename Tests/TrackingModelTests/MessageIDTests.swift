import Testing

@testable import TrackingModel

@Suite("Message ids")
struct MessageIDTests {
    private func text(_ id: MessageID) -> String {
        withWriter(capacity: MessageID.textBytes) { $0.put(id.text) }.text
    }

    @Test("an id is a UUID of version 7 and variant 10 with the time in front")
    func layout() throws {
        var generator = MessageIDGenerator()
        for milliseconds in [0, 1, Judging.noon, 0xffff_ffff_ffff] as [Int64] {
            // Each generator goes on from its latest time, and these ascend.
            let text = self.text(generator.next(at: Timestamp(milliseconds: milliseconds)))
            let groups = text.split(separator: "-", omittingEmptySubsequences: false)
            #expect(groups.map(\.count) == [8, 4, 4, 4, 12])
            #expect(text.utf8.allSatisfy { "0123456789abcdef-".utf8.contains($0) })
            #expect(Int64(groups[0] + groups[1], radix: 16) == milliseconds)
            #expect(groups[2].first == "7")
            #expect("89ab".contains(try #require(groups[3].first)))
        }
    }

    @Test("a known id has the known text")
    func golden() {
        // The example of RFC 9562, appendix A.6.
        let id = MessageID(high: 0x017f_22e2_79b0_7cc3, low: 0x98c4_dc0c_0c07_398f)
        #expect(self.text(id) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    }

    @Test("ids of one generator ascend, also in one millisecond and when the clock steps back")
    func ascend() {
        var generator = MessageIDGenerator()
        var random = SeededBits(state: 5)
        var milliseconds = Judging.noon
        var last = ""
        for step in 0..<200_000 {
            if step % 10_000 == 0 { milliseconds += Int64.random(in: -5_000...5_000, using: &random) }
            if step % 7 == 0 { milliseconds += 1 }
            let text = self.text(generator.next(at: Timestamp(milliseconds: milliseconds)))
            guard text > last else {
                Issue.record("\(text) after \(last)")
                return
            }
            last = text
        }
    }

    @Test("a million ids of ten generators at one moment are a million")
    func unique() {
        var ids: Set<MessageID> = []
        for _ in 0..<10 {
            var generator = MessageIDGenerator()
            for _ in 0..<100_000 { ids.insert(generator.next(at: Timestamp(milliseconds: Judging.noon))) }
        }
        #expect(ids.count == 1_000_000)
    }

    @Test("a clock before 1970 or far beyond makes ids all the same", arguments: [Int64.min, -1, Int64.max])
    func nonsense(milliseconds: Int64) {
        var generator = MessageIDGenerator()
        for _ in 0..<5_000 { _ = generator.next(at: Timestamp(milliseconds: milliseconds)) }
        let text = self.text(generator.next(at: Timestamp(milliseconds: milliseconds)))
        #expect(text.count == 36)
        #expect(Array(text.utf8)[14] == UInt8(ascii: "7"))
    }
}

/// What a body writes into a piece of memory of exactly this size.
func withWriter(capacity: Int, _ body: (inout ByteWriter) -> Void) -> (bytes: [UInt8], text: String) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
    defer { memory.deallocate() }
    var writer = ByteWriter(memory)
    body(&writer)
    let bytes = Array(memory[..<writer.count])
    return (bytes, String(decoding: bytes, as: UTF8.self))
}
