// The cloud in memory: decoding, colours. Everything else asks this object.
var rarefy = {};
rarefy.cloud = function (root) {
  'use strict';
  var bytes = function (name) {
    var element = root.querySelector('script[data-array="' + name + '"]');
    if (!element) return null;
    var text = atob(element.textContent.trim()), out = new Uint8Array(text.length);
    for (var i = 0; i < text.length; ++i) out[i] = text.charCodeAt(i);
    return out;
  };
  var raw = bytes('xyz');
  var xyz = new Int16Array(raw.buffer);
  var cloud = {
    count: xyz.length / 3,
    xyz: xyz,                                  // [N, 3] in steps of `step` metres
    step: parseFloat(root.dataset.step),
    low: parseFloat(root.dataset.low),
    high: parseFloat(root.dataset.high),
    label: bytes('label'),
    truth: bytes('truth'),
    intensity: bytes('intensity'),
    color: null,                               // [N, 4] RGB and 255 or 0 (hidden)
    mode: 'class',
    shown: [],
    classes: {}
  };
  cloud.color = new Uint8Array(cloud.count * 4);
  for (var c = 0; c < 256; ++c) cloud.shown[c] = true;

  // Class colours of data sets are made for paper: bring each into the range of lightness and chroma that a dark stage
  // shows well. Oklab after B. Ottosson, "A perceptual color space for image processing", 2020.
  var linear = function (v) { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
  var gamma = function (v) {
    v = Math.min(1, Math.max(0, v));
    return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * Math.pow(v, 1 / 2.4) - 0.055));
  };
  rarefy.soften = function (rgb) {
    var r = linear(rgb[0]), g = linear(rgb[1]), b = linear(rgb[2]);
    var l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    var m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    var s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    var L = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    var A = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    var B = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
    L = 0.50 + 0.36 * L;
    var chroma = Math.hypot(A, B), scale = chroma > 0 ? Math.min(chroma, 0.03 + 0.34 * chroma) / chroma : 0;
    A *= scale; B *= scale;
    l = Math.pow(L + 0.3963377774 * A + 0.2158037573 * B, 3);
    m = Math.pow(L - 0.1055613458 * A - 0.0638541728 * B, 3);
    s = Math.pow(L - 0.0894841775 * A - 1.2914855480 * B, 3);
    return [gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            gamma(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)];
  };
  // A dark blue to pale yellow ramp that is even to the eye.
  var stops = [[38, 30, 76], [52, 78, 140], [42, 124, 142], [52, 170, 126], [150, 212, 78], [253, 231, 100]];
  rarefy.ramp = function (t) {
    var at = Math.min(0.9999, Math.max(0, t)) * (stops.length - 1), i = Math.floor(at), f = at - i;
    return [0, 1, 2].map(function (k) { return Math.round(stops[i][k] * (1 - f) + stops[i + 1][k] * f); });
  };
  rarefy.errorColors = { right: [86, 98, 112], wrong: [255, 92, 76], none: [45, 50, 58] };

  cloud.paint = function () {
    var table = [], i, k;
    if (cloud.mode === 'class') {
      for (k = 0; k < 256; ++k) table[k] = cloud.classes[k] ? cloud.classes[k].color : [70, 75, 82];
    } else {
      for (k = 0; k < 256; ++k) table[k] = rarefy.ramp(k / 255);
    }
    var span = cloud.high > cloud.low ? cloud.high - cloud.low : 1, error = rarefy.errorColors;
    for (i = 0; i < cloud.count; ++i) {
      var rgb, light = 1;
      if (cloud.mode === 'class') {
        rgb = table[cloud.label[i]];
        // What the laser saw gives surfaces their texture (lane markings, plates) without hiding the class.
        if (cloud.intensity) light = 0.86 + 0.30 * (cloud.intensity[i] / 255);
      } else if (cloud.mode === 'intensity') {
        rgb = table[cloud.intensity[i]];
      } else if (cloud.mode === 'height') {
        rgb = table[Math.max(0, Math.min(255, Math.round(255 * (cloud.xyz[3 * i + 2] * cloud.step - cloud.low) / span)))];
      } else {
        rgb = cloud.truth[i] === 255 ? error.none : cloud.truth[i] === cloud.label[i] ? error.right : error.wrong;
      }
      cloud.color[4 * i] = Math.min(255, rgb[0] * light);
      cloud.color[4 * i + 1] = Math.min(255, rgb[1] * light);
      cloud.color[4 * i + 2] = Math.min(255, rgb[2] * light);
      cloud.color[4 * i + 3] = cloud.shown[cloud.label[i]] ? 255 : 0;
    }
  };
  return cloud;
};
