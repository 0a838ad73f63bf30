// What a device can do at best: the benchmark's other figures are shares of these.
//   touch  count += 1     a dispatch with next to nothing in it
//   copy   copied = source
// touch is one invocation. An invocation of copy owns one vector of `copied`. Words and not floats, which a
// device may flush or quiet.
// Grid: touch: a single workgroup. copy: x over blocks of WORKGROUP vectors, wrapped into y.

/// vectors of four words
override N: u32;
override WORKGROUP: u32 = 256u;

/// (1) how often it was touched
@group(0) @binding(0) var<storage, read_write> count: array<u32>;
/// (4*N) u32
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
/// (4*N) u32
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(1)
fn touch() {
    count[0] += 1u;
}

@compute @workgroup_size(WORKGROUP)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if at < N { copied[at] = source[at]; }
}
