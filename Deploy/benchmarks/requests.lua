-- What wrk asks: the paths of the file PATHS, one after the other in a circle, as the browser AGENT.
-- At the end it prints what came back as one JSON object.
local requests, count, at = {}, 0, 0

function init(_)
    local tail = " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " .. os.getenv("AGENT") .. "\r\n\r\n"
    for path in io.lines(os.getenv("PATHS")) do
        requests[count] = "GET " .. path .. tail
        count = count + 1
    end
end

function request()
    local chosen = requests[at]
    at = at + 1
    if at == count then at = 0 end
    return chosen
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"answers":%d,"not2xx":%d,"errors":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f,"p999Ms":%.3f}\n',
        summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
