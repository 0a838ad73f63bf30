// A tile of 128 x 64 by 16 x 8 invocations, see lib/tile_ahead: for matrices with columns too few, or too many by
// a few, for tiles of 128.
#import tile_ahead

const GROUPS_X = 16u;
const GROUPS_Y = 8u;
