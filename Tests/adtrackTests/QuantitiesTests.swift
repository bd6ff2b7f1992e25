import Testing

@testable import adtrack

@Suite("Quantities in settings")
struct QuantitiesTests {
    @Test(
        "a time is a number and its unit",
        arguments: [
            ("250ms", Duration.milliseconds(250)), ("2s", .seconds(2)), ("10m", .seconds(600)),
            ("24h", .seconds(86_400)),
            ("0", .zero), ("0s", .zero), ("1.5s", .milliseconds(1_500)), ("100us", .microseconds(100)),
            ("366h", .seconds(366 * 3_600)),
        ]
    )
    func times(text: String, duration: Duration) {
        #expect(TimeSpan(text)?.duration == duration)
    }

    @Test(
        "what is no time is refused",
        arguments: [
            "", "s", "5", "-1s", "+1s", "1 s", " 1s", "1s ", "1S", "1d", "1.s", ".5s", "1.2345s", "1e3s", "1.1.1s",
            "٣s",
            "9223372036854775807h", "99999999999999999999s", "8785h",
        ]
    )
    func noTimes(text: String) {
        #expect(TimeSpan(text) == nil)
    }

    @Test(
        "a size is a number and its unit",
        arguments: [
            ("64KiB", 65_536), ("1GiB", 1 << 30), ("5MiB", 5 << 20), ("1.5KiB", 1_536), ("512B", 512), ("4096", 4_096),
            ("1kB", 1_000), ("1MB", 1_000_000), ("0", 0), ("8000TiB", 8_000 << 40),
        ]
    )
    func sizes(text: String, bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test("what is no size is refused", arguments: ["", "KiB", "-1", "1 KiB", "0.5B", "1XB", "9999999999TiB", "0x10"])
    func noSizes(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(
        "a share is a percentage or a fraction",
        arguments: [("5%", 0.05), ("100%", 1), ("0.25", 0.25), ("1", 1), ("0", 0)]
    )
    func shares(text: String, fraction: Double) throws {
        #expect(abs(try #require(Share(text)).fraction - fraction) < 1e-9)
    }

    @Test("what is no share is refused", arguments: ["", "%", "101%", "1.5", "-1%", "5 %"])
    func noShares(text: String) {
        #expect(Share(text) == nil)
    }

    @Test("a default is shown as it would be written")
    func descriptions() {
        #expect(TimeSpan(.seconds(600)).defaultValueDescription == "10m")
        #expect(TimeSpan(.milliseconds(1_500)).defaultValueDescription == "1500ms")
        #expect(TimeSpan(.zero).defaultValueDescription == "0s")
        #expect(ByteCount(5 << 20).defaultValueDescription == "5MiB")
        #expect(ByteCount(1_000).defaultValueDescription == "1000B")
    }
}
