use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test {
    #[field(public)]
    f0: u8,
    #[field(public)]
    f1: u8,
    #[field(public)]
    f2: u8,
    #[field(public)]
    f3: u8,
    #[field(public)]
    f4: u8,
    #[field(public)]
    f5: u8,
    #[field(public)]
    f6: u8,
    #[field(public)]
    f7: u8,
    #[field(public)]
    f8: u8,
    #[field(public)]
    f9: u8,
    #[field(public)]
    f10: u8,
    #[field(public)]
    f11: u8,
    #[field(public)]
    f12: u8,
    #[field(public)]
    f13: u8,
    #[field(public)]
    f14: u8,
    #[field(public)]
    f15: u8,
    #[field(public)]
    f16: u8,
    #[field(public)]
    f17: u8,
    #[field(public)]
    f18: u8,
    #[field(public)]
    f19: u8,
    #[field(public)]
    f20: u8,
    #[field(public)]
    f21: u8,
    #[field(public)]
    f22: u8,
    #[field(public)]
    f23: u8,
    #[field(public)]
    f24: u8,
    #[field(public)]
    f25: u8,
    #[field(public)]
    f26: u8,
    #[field(public)]
    f27: u8,
    #[field(public)]
    f28: u8,
    #[field(public)]
    f29: u8,
    #[field(public)]
    f30: u8,
    #[field(public)]
    f31: u8,
    #[field(public)]
    f32: u8,
    #[field(public)]
    f33: u8,
    #[field(public)]
    f34: u8,
    #[field(public)]
    f35: u8,
    #[field(public)]
    f36: u8,
    #[field(public)]
    f37: u8,
    #[field(public)]
    f38: u8,
    #[field(public)]
    f39: u8,
    #[field(public)]
    f40: u8,
    #[field(public)]
    f41: u8,
    #[field(public)]
    f42: u8,
    #[field(public)]
    f43: u8,
    #[field(public)]
    f44: u8,
    #[field(public)]
    f45: u8,
    #[field(public)]
    f46: u8,
    #[field(public)]
    f47: u8,
    #[field(public)]
    f48: u8,
    #[field(public)]
    f49: u8,
    #[field(public)]
    f50: u8,
    #[field(public)]
    f51: u8,
    #[field(public)]
    f52: u8,
    #[field(public)]
    f53: u8,
    #[field(public)]
    f54: u8,
    #[field(public)]
    f55: u8,
    #[field(public)]
    f56: u8,
    #[field(public)]
    f57: u8,
    #[field(public)]
    f58: u8,
    #[field(public)]
    f59: u8,
    #[field(public)]
    f60: u8,
    #[field(public)]
    f61: u8,
    #[field(public)]
    f62: u8,
    #[field(public)]
    f63: u8,
    #[field(public)]
    f64: u8,
    #[field(public)]
    f65: u8,
    #[field(public)]
    f66: u8,
    #[field(public)]
    f67: u8,
    #[field(public)]
    f68: u8,
    #[field(public)]
    f69: u8,
    #[field(public)]
    f70: u8,
    #[field(public)]
    f71: u8,
    #[field(public)]
    f72: u8,
    #[field(public)]
    f73: u8,
    #[field(public)]
    f74: u8,
    #[field(public)]
    f75: u8,
    #[field(public)]
    f76: u8,
    #[field(public)]
    f77: u8,
    #[field(public)]
    f78: u8,
    #[field(public)]
    f79: u8,
    #[field(public)]
    f80: u8,
    #[field(public)]
    f81: u8,
    #[field(public)]
    f82: u8,
    #[field(public)]
    f83: u8,
    #[field(public)]
    f84: u8,
    #[field(public)]
    f85: u8,
    #[field(public)]
    f86: u8,
    #[field(public)]
    f87: u8,
    #[field(public)]
    f88: u8,
    #[field(public)]
    f89: u8,
    #[field(public)]
    f90: u8,
    #[field(public)]
    f91: u8,
    #[field(public)]
    f92: u8,
    #[field(public)]
    f93: u8,
    #[field(public)]
    f94: u8,
    #[field(public)]
    f95: u8,
    #[field(public)]
    f96: u8,
    #[field(public)]
    f97: u8,
    #[field(public)]
    f98: u8,
    #[field(public)]
    f99: u8,
    #[field(public)]
    f100: u8,
    #[field(public)]
    f101: u8,
    #[field(public)]
    f102: u8,
    #[field(public)]
    f103: u8,
    #[field(public)]
    f104: u8,
    #[field(public)]
    f105: u8,
    #[field(public)]
    f106: u8,
    #[field(public)]
    f107: u8,
    #[field(public)]
    f108: u8,
    #[field(public)]
    f109: u8,
    #[field(public)]
    f110: u8,
    #[field(public)]
    f111: u8,
    #[field(public)]
    f112: u8,
    #[field(public)]
    f113: u8,
    #[field(public)]
    f114: u8,
    #[field(public)]
    f115: u8,
    #[field(public)]
    f116: u8,
    #[field(public)]
    f117: u8,
    #[field(public)]
    f118: u8,
    #[field(public)]
    f119: u8,
    #[field(public)]
    f120: u8,
    #[field(public)]
    f121: u8,
    #[field(public)]
    f122: u8,
    #[field(public)]
    f123: u8,
    #[field(public)]
    f124: u8,
    #[field(public)]
    f125: u8,
    #[field(public)]
    f126: u8,
    #[field(public)]
    f127: u8,
    #[field(public)]
    f128: u8,
    #[field(public)]
    f129: u8,
    #[field(public)]
    f130: u8,
    #[field(public)]
    f131: u8,
    #[field(public)]
    f132: u8,
    #[field(public)]
    f133: u8,
    #[field(public)]
    f134: u8,
    #[field(public)]
    f135: u8,
    #[field(public)]
    f136: u8,
    #[field(public)]
    f137: u8,
    #[field(public)]
    f138: u8,
    #[field(public)]
    f139: u8,
    #[field(public)]
    f140: u8,
    #[field(public)]
    f141: u8,
    #[field(public)]
    f142: u8,
    #[field(public)]
    f143: u8,
    #[field(public)]
    f144: u8,
    #[field(public)]
    f145: u8,
    #[field(public)]
    f146: u8,
    #[field(public)]
    f147: u8,
    #[field(public)]
    f148: u8,
    #[field(public)]
    f149: u8,
    #[field(public)]
    f150: u8,
    #[field(public)]
    f151: u8,
    #[field(public)]
    f152: u8,
    #[field(public)]
    f153: u8,
    #[field(public)]
    f154: u8,
    #[field(public)]
    f155: u8,
    #[field(public)]
    f156: u8,
    #[field(public)]
    f157: u8,
    #[field(public)]
    f158: u8,
    #[field(public)]
    f159: u8,
    #[field(public)]
    f160: u8,
    #[field(public)]
    f161: u8,
    #[field(public)]
    f162: u8,
    #[field(public)]
    f163: u8,
    #[field(public)]
    f164: u8,
    #[field(public)]
    f165: u8,
    #[field(public)]
    f166: u8,
    #[field(public)]
    f167: u8,
    #[field(public)]
    f168: u8,
    #[field(public)]
    f169: u8,
    #[field(public)]
    f170: u8,
    #[field(public)]
    f171: u8,
    #[field(public)]
    f172: u8,
    #[field(public)]
    f173: u8,
    #[field(public)]
    f174: u8,
    #[field(public)]
    f175: u8,
    #[field(public)]
    f176: u8,
    #[field(public)]
    f177: u8,
    #[field(public)]
    f178: u8,
    #[field(public)]
    f179: u8,
    #[field(public)]
    f180: u8,
    #[field(public)]
    f181: u8,
    #[field(public)]
    f182: u8,
    #[field(public)]
    f183: u8,
    #[field(public)]
    f184: u8,
    #[field(public)]
    f185: u8,
    #[field(public)]
    f186: u8,
    #[field(public)]
    f187: u8,
    #[field(public)]
    f188: u8,
    #[field(public)]
    f189: u8,
    #[field(public)]
    f190: u8,
    #[field(public)]
    f191: u8,
    #[field(public)]
    f192: u8,
    #[field(public)]
    f193: u8,
    #[field(public)]
    f194: u8,
    #[field(public)]
    f195: u8,
    #[field(public)]
    f196: u8,
    #[field(public)]
    f197: u8,
    #[field(public)]
    f198: u8,
    #[field(public)]
    f199: u8,
    #[field(public)]
    f200: u8,
    #[field(public)]
    f201: u8,
    #[field(public)]
    f202: u8,
    #[field(public)]
    f203: u8,
    #[field(public)]
    f204: u8,
    #[field(public)]
    f205: u8,
    #[field(public)]
    f206: u8,
    #[field(public)]
    f207: u8,
    #[field(public)]
    f208: u8,
    #[field(public)]
    f209: u8,
    #[field(public)]
    f210: u8,
    #[field(public)]
    f211: u8,
    #[field(public)]
    f212: u8,
    #[field(public)]
    f213: u8,
    #[field(public)]
    f214: u8,
    #[field(public)]
    f215: u8,
    #[field(public)]
    f216: u8,
    #[field(public)]
    f217: u8,
    #[field(public)]
    f218: u8,
    #[field(public)]
    f219: u8,
    #[field(public)]
    f220: u8,
    #[field(public)]
    f221: u8,
    #[field(public)]
    f222: u8,
    #[field(public)]
    f223: u8,
    #[field(public)]
    f224: u8,
    #[field(public)]
    f225: u8,
    #[field(public)]
    f226: u8,
    #[field(public)]
    f227: u8,
    #[field(public)]
    f228: u8,
    #[field(public)]
    f229: u8,
    #[field(public)]
    f230: u8,
    #[field(public)]
    f231: u8,
    #[field(public)]
    f232: u8,
    #[field(public)]
    f233: u8,
    #[field(public)]
    f234: u8,
    #[field(public)]
    f235: u8,
    #[field(public)]
    f236: u8,
    #[field(public)]
    f237: u8,
    #[field(public)]
    f238: u8,
    #[field(public)]
    f239: u8,
    #[field(public)]
    f240: u8,
    #[field(public)]
    f241: u8,
    #[field(public)]
    f242: u8,
    #[field(public)]
    f243: u8,
    #[field(public)]
    f244: u8,
    #[field(public)]
    f245: u8,
    #[field(public)]
    f246: u8,
    #[field(public)]
    f247: u8,
    #[field(public)]
    f248: u8,
    #[field(public)]
    f249: u8,
    #[field(public)]
    f250: u8,
    #[field(public)]
    f251: u8,
    #[field(public)]
    f252: u8,
    #[field(public)]
    f253: u8,
    #[field(public)]
    f254: u8,
    #[field(public)]
    f255: u8,
}

fn main() {}
