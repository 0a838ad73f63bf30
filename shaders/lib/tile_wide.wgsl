// A tile of 64 x 64 by 16 x 8 invocations, see lib/tile_memory: each element that is read is used twice as
// often as in the smaller tile. For adapters with registers and invocations to spare.
#import tile_memory

const ROW_VECTORS = 2u;
const GROUPS_X = 16u;
const GROUPS_Y = 8u;
