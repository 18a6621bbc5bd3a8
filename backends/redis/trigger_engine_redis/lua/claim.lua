-- Gives work to a runner, and compares the claims that it holds.
-- ARGV: log id, runner, tasks, queues, holding, limit, a fresh id, the runner's time. Tasks, queues and holding are
-- msgpack.
local runner = ARGV[2]
local tasks, queues, holding = {}, unpack_value(ARGV[4]), {}
for _, task in ipairs(unpack_value(ARGV[3])) do
    tasks[task] = true
end
for _, claim in ipairs(unpack_value(ARGV[5])) do
    holding[claim] = true
end
local limit = tonumber(ARGV[6])
local log = load_log()

local stranded = {}
-- In a member the claim comes after runner, NUL, position, NUL.
local claim_at = #runner + 17
for _, member in ipairs(call('ZRANGEBYLEX', HELD, '[' .. runner .. '\0', '(' .. runner .. '\1')) do
    local ends = string.find(member, '\0', claim_at, true)
    local claim = string.sub(member, claim_at, ends - 1)
    if holding[claim] then
        holding[claim] = nil
    else
        local invocation_id = string.sub(member, ends + 1)
        stranded[#stranded + 1] = describe(log, invocation_id, load_row(invocation_id))
    end
end
local revoked = {}
for claim in pairs(holding) do
    revoked[#revoked + 1] = claim
end
if limit <= 0 then
    return {log.id, log.tail, log.queue_changes, {}, stranded, revoked, {}, false}
end

local now = server_time()
for _, member in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)) do
    call('ZREM', DELAYED, member)
    call('ZADD', READY, '0', member)
end

-- Finds every queue and task with waiting work: one step over the sorted set for each, however much work waits.
local unknown, known = {}, {}
local function scan(first, last)
    local member = call('ZRANGEBYLEX', READY, first, last, 'LIMIT', 0, 1)[1]
    while member do
        local group, task = string.match(member, '^(.-%z(.-))%z')
        if tasks[task] then
            known[#known + 1] = {group = group, loaded = 0, at = 1, members = {}}
        else
            unknown[task] = true
        end
        member = call('ZRANGEBYLEX', READY, '[' .. group .. '\1', last, 'LIMIT', 0, 1)[1]
    end
end
if #queues == 0 then
    scan('-', '+')
end
for _, queue in ipairs(queues) do
    scan('[' .. queue .. '\0', '(' .. queue .. '\1')
end

-- The oldest member of one queue and task that is not taken yet, and the position in it.
local chunk = math.max(4, math.ceil(limit / math.max(#known, 1)))
local function head(source)
    if source.at > #source.members then
        source.members = call('ZRANGEBYLEX', READY, '[' .. source.group .. '\0', '(' .. source.group .. '\1', 'LIMIT',
            source.loaded, chunk)
        source.loaded, source.at = source.loaded + #source.members, 1
    end
    local member = source.members[source.at]
    return member, member and string.sub(member, #source.group + 2, #source.group + 15)
end
local taken = {}
while #taken < limit do
    local oldest, oldest_position, oldest_source
    for _, source in ipairs(known) do
        local member, position = head(source)
        if member and (not oldest or position < oldest_position) then
            oldest, oldest_position, oldest_source = member, position, source
        end
    end
    if not oldest then
        break
    end
    oldest_source.at = oldest_source.at + 1
    taken[#taken + 1] = string.sub(oldest, #oldest_source.group + 17)
end

local rows = load_fields(INVOCATIONS, taken)
for _, invocation_id in ipairs(taken) do
    rows[invocation_id] = unpack_value(rows[invocation_id])
end

-- The bytes of registrations in the stream, by message id. Registrations close to each other, which are usual in a
-- long queue, are read at once, together with the entries between them.
local registrations = {}
local positions = {}
for _, invocation_id in ipairs(taken) do
    local position = rows[invocation_id][REGISTERED_AT]
    if position > log.trimmed then
        positions[#positions + 1] = position
    end
end
table.sort(positions)
local first = 1
while positions[first] do
    local last = first
    while positions[last + 1] and positions[last + 1] - positions[last] <= 3 do
        last = last + 1
    end
    for _, message in ipairs(call('XRANGE', ENTRIES, decimal(positions[first]), decimal(positions[last]))) do
        registrations[message[1]] = message[2][2]
    end
    first = last + 1
end

local time_packed, runner_packed = pack(tonumber(ARGV[8])), pack(runner)

-- The bytes of `Started`. The fields shared with the registration are copied as bytes: Lua cannot encode them again.
local function started(registration, row, claim, entry_id)
    local at = string.byte(registration, 2) == 0xdc and 5 or 3
    at = at + 1 + string.byte(registration, at) - 0xa0
    local header = string.byte(registration, at)
    local length = 1 + header - 0xa0
    if header == 0xd9 then
        length = 2 + string.byte(registration, at + 1)
    elseif header == 0xda then
        length = 3 + 256 * string.byte(registration, at + 1) + string.byte(registration, at + 2)
    end
    return STARTED_HEAD .. pack(entry_id) .. time_packed .. string.sub(registration, at, at + length - 1)
        .. string.sub(registration, row[SLICE_FROM] + 1, row[SLICE_FROM] + row[SLICE_SIZE])
        .. pack(row[ATTEMPT]) .. pack(claim) .. runner_packed
end

local claimed, ids_and_positions = {}, {}
for _, invocation_id in ipairs(taken) do
    local row = rows[invocation_id]
    local registration = registrations[decimal(row[REGISTERED_AT]) .. '-0'] or registration_of(log, invocation_id, row)
    leave(log, invocation_id, row)
    log.tail = log.tail + 1
    local position = decimal(log.tail)
    local claim = ARGV[7] .. string.format('%x', log.tail)
    local entry_id = claim .. ':started'
    if row[STATUS] == 'retry' then
        row[ATTEMPT] = row[ATTEMPT] + 1
    end
    row[STATUS], row[CLAIM], row[RUNNER], row[CHANGED_AT] = 'running', claim, runner, log.tail
    local entry = started(registration, row, claim, entry_id)
    call('XADD', ENTRIES, position, 'e', entry)
    ids_and_positions[#ids_and_positions + 1] = entry_id
    ids_and_positions[#ids_and_positions + 1] = position
    claimed[#claimed + 1] = {enter(invocation_id, row, now), registration, entry}
end
if #claimed > 0 then
    write_rows()
    in_chunks('HSET', IDS, ids_and_positions)
    call('HSET', META, 'tail', decimal(log.tail), 'last', ids_and_positions[#ids_and_positions - 1])
    notify(log)
end

local unknown_tasks = {}
for task in pairs(unknown) do
    unknown_tasks[#unknown_tasks + 1] = task
end
local next_due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
local wait = next_due and string.format('%.6f', math.max(tonumber(next_due) - now, 0))
return {log.id, log.tail, log.queue_changes, claimed, stranded, revoked, unknown_tasks, wait or false}
